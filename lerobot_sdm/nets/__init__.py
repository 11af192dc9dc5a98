"""Networks without training logic: point-cloud encoder, observation encoder, denoising networks."""
