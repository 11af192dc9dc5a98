"""The four DexArt tasks, observed as point clouds."""
