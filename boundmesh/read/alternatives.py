"""Names what to write in the place of an ONNX operator that cannot be bounded."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

END = "let the network end at its operand, and compute it outside"
LISTS = "Concat, Split or Slice instead of a sequence of tensors"
FIXED = "a constant table of the random numbers, or none"

ALTERNATIVES: dict[str, str] = {
    "NonMaxSuppression": END,
    "NonZero": END,
    "Unique": END,
    "Det": END,
    "MaxRoiPool": "Slice and MaxPool at fixed places",
    "RoiAlign": "Slice and AveragePool at fixed places",
    "MaxUnpool": "ScatterElements with constant indices, or Resize",
    "GridSample": "Resize, or a MatMul with constant weights of interpolation",
    "DeformConv": "Conv",
    "Scan": "LSTM, GRU, RNN, or a Loop with a constant number of turns",
    "SequenceAt": LISTS,
    "SequenceConstruct": LISTS,
    "SequenceEmpty": LISTS,
    "SequenceErase": LISTS,
    "SequenceInsert": LISTS,
    "SequenceLength": LISTS,
    "SequenceMap": LISTS,
    "SplitToSequence": LISTS,
    "ConcatFromSequence": LISTS,
    "Optional": LISTS,
    "OptionalGetElement": LISTS,
    "OptionalHasElement": LISTS,
    "Bernoulli": FIXED,
    "Multinomial": FIXED,
    "RandomNormal": FIXED,
    "RandomNormalLike": FIXED,
    "RandomUniform": FIXED,
    "RandomUniformLike": FIXED,
    "StringNormalizer": END,
    "StringConcat": END,
    "StringSplit": END,
    "RegexFullMatch": END,
    "TfIdfVectorizer": END,
    "ImageDecoder": END,
    "SoftmaxCrossEntropyLoss": "the network without its loss",
    "NegativeLogLikelihoodLoss": "the network without its loss",
    "BitwiseAnd": "And of truth values",
    "BitwiseOr": "Or of truth values",
    "BitwiseXor": "Xor of truth values",
    "BitwiseNot": "Not of truth values",
    "BitShift": "Mul or Div by a power of two",
}
"""Operators without a translation, and what stands for each in a network that can be bounded."""

DOMAINS = {
    "com.microsoft": "export the network before ONNX Runtime optimises it, so that it has ONNX's "
    "own operators",
    "ai.onnx.ml": "export the model with a network of the same function, as tree and vector "
    "machines are none",
    "ai.onnx.preview.training": "the network for inference",
}
"""Domains of operators that are not ONNX's own, and what to do about them."""


def alternative(op: str, domain: str, supported: Iterable[str]) -> str:
    """Return in words what to use in place of an operator; empty where nothing is close."""
    if domain not in ("", "ai.onnx"):
        return DOMAINS.get(domain, "export it as ONNX's own operators, or as a function of them")
    if op in ALTERNATIVES:
        return ALTERNATIVES[op]
    close = difflib.get_close_matches(op, list(supported), n=3, cutoff=0.5)
    return f"operators of similar names: {', '.join(close)}" if close else ""
