"""Generated texts for which the right explanation is known."""

from __future__ import annotations

from seqlrp.truth.annotated import Annotated, Span
from seqlrp.truth.hybrid import hybrid_documents
from seqlrp.truth.language import sentiment_language
from seqlrp.truth.planted import planted

__all__ = ["Annotated", "Span", "hybrid_documents", "planted", "sentiment_language"]
