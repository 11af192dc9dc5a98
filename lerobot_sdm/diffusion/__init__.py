"""The mathematics of diffusion as free functions: schedules, samplers, distillation losses. No modules, no state."""
