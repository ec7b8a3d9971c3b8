"""Whether the new model takes over: gates, a paired comparison with the champion, and guards for parts of the rows.

What belongs here: the decision and its reason. What does not: how predictions are made (`judging`), and the registry in
which the decision is carried out.
"""

from mt_assets.trainer.promotion.comparison import ChampionView, Comparison, Contest, compare, default_margin
from mt_assets.trainer.promotion.decision import PromotionDecision, Verdict, decide_promotion, rows_digest
from mt_assets.trainer.promotion.fairness import FairnessComparison, compare_fairness
from mt_assets.trainer.promotion.gates import GateVerdict, evaluate_gates
from mt_assets.trainer.promotion.segments import SegmentComparison, compare_segments

__all__ = [
    "ChampionView",
    "Comparison",
    "Contest",
    "FairnessComparison",
    "GateVerdict",
    "PromotionDecision",
    "SegmentComparison",
    "Verdict",
    "compare",
    "compare_fairness",
    "compare_segments",
    "decide_promotion",
    "default_margin",
    "evaluate_gates",
    "rows_digest",
]
