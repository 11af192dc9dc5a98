"""Measure policies: from demonstrations to success, distances and latency, in resumable stages.

- What is measured: `methods` (the one table of methods), `sizes`, `settings`, `suites`, `protocols`, `benchmark`,
  `comparison`.
- Stages, which run once and are then skipped: `stages`, `runner`, `commands`, `estimate`. What they run:
  `plan` (shared commands), `quickstart`, `cell_stages`, `comparison_run`.
- A benchmark's cells: `run_benchmark`, `schedule`, `engines`, `cell`, `provenance`, `benchmark_export`.
- Measuring itself: `observations`, `distances`, `distillation`, `latency`, `expert`, `reward_error`; `measurements`
  combines them for a stage; `statistics` has the intervals.
- Reporting: `records`, `scores`, `summaries` collect; `tables`, `pictures`, `video` are shared by `quickstart_report`,
  `comparison_report`, `benchmark_page` with `published`, and `benchmark_plots`.
"""
