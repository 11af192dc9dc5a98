"""Networks without training logic: point-cloud encoder, observation encoder, temporal U-Net."""
