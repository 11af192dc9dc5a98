"""Published success rates and how they were measured. Not comparable with ours, so never shown without that.

Most are second-hand: from other papers' tables, notes or collections, not from the paper itself.
"""

SPLIT_37, SPLIT_53 = "the 37 tasks of `dp3-37`", "53 tasks: 3 Adroit, 50 MetaWorld"
SECOND_HAND, COLLECTION = "other papers' tables, by way of notes", "a collection of results"
RECOMPUTED = "notes on the paper; its group means, weighted by tasks"

PUBLISHED = (
    ("published by", "network evaluations", "mean over", "success in %", "read in"),
    ("DP3, rerun by MP1 (arXiv 2403.03954)", "10", SPLIT_37, "68.7 ± 4.7", SECOND_HAND),
    ("FlowPolicy (arXiv 2412.04987)", "1", SPLIT_37, "71.6 ± 3.5", SECOND_HAND),
    ("MP1 (arXiv 2507.10543)", "1", SPLIT_37, "78.9 ± 2.1", SECOND_HAND),
    ("OMP (arXiv 2512.19347)", "1", SPLIT_37, "82.7 (it prints 82.3 ± 1.6)", RECOMPUTED),
    ("UCA-Flow (arXiv 2608.16153)", "1", SPLIT_37, "86.4 (it prints 88.2)", RECOMPUTED),
    ("DBP (arXiv 2604.03540)", "1", SPLIT_37, "88.4 (so printed)", RECOMPUTED),
    ("DP3, rerun by FreqPolicy", "10", SPLIT_53, "76.1", SECOND_HAND),
    ("SDM (arXiv 2412.09265)", "1", SPLIT_53, "74.8", COLLECTION),
    ("FreqPolicy (arXiv 2506.08822)", "1", SPLIT_53, "78.5", SECOND_HAND),
)
"""Rows of the table of published numbers; success as given."""

PROTOCOL_DIFFERENCES = (
    ("", "published", "here, `strict`", "here, `paper`"),
    ("checkpoint", "the five best of fifteen", "the last", "the five best of fifteen"),
    ("episodes behind a rate", "5 × 20, chosen by their result", "all, at least 100", "5 × 20, chosen by their result"),
    ("seeds of evaluations", "none", "the same for all methods", "fixed, others for each checkpoint"),
    ("training seeds", "0, 1, 2", "as the table says", "as the table says"),
    ("uncertainty", "± over training seeds", "Wilson's interval, paired differences", "± over training seeds"),
    (
        "clouds, MetaWorld",
        "512 points, DP3's camera and box, with table and robot",
        "as the view says; `dp3` is the papers'",
        "as the view says",
    ),
    (
        "goals in the air, MetaWorld",
        "drawn into the clouds by the simulator's markers",
        "`workspace`: as a ball where nothing else shows them; `dp3`: markers",
        "as `strict`",
    ),
    ("success, MetaWorld", "in the last two steps of a chunk", "at any step", "at any step"),
    ("success, Adroit", "mean over the last two steps", "both of the last two steps", "both of the last two steps"),
    ("DexArt", "PartNet objects, 50 steps", "stand-ins, 250 steps (bucket 100)", "stand-ins, 50 steps"),
    ("simulators", "MuJoCo 2.1, MetaWorld v2, SAPIEN", "MuJoCo 3.3, MetaWorld v3", "MuJoCo 3.3, MetaWorld v3"),
    ("demonstrations", "10 (DexArt 100); MetaWorld scripted, others learned", "as the size says", "as the size says"),
)
"""Rows of the table above the published numbers: how they and ours were measured."""
