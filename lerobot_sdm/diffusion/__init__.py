"""The math of diffusion as stateless functions: schedules, samplers, distillation losses. No modules."""
