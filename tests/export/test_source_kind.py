"""What a path given as a model is taken for."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertsmith.export.source_kind import SourceKind, source_kind


def test_what_is_there_comes_before_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert source_kind("bert_model.ckpt") is SourceKind.HUB
    Path("bert_model.ckpt.index").write_text("")
    assert source_kind("bert_model.ckpt") is SourceKind.TENSORFLOW
    assert source_kind("bert_model.ckpt.index") is SourceKind.TENSORFLOW
    assert source_kind(tmp_path) is SourceKind.TENSORFLOW
    Path("config.json").write_text("")  # converted where it lies
    assert source_kind(tmp_path) is SourceKind.FOLDER
    assert source_kind("bertsmith-mini") is SourceKind.SHIPPED
    Path("bertsmith-mini").mkdir()
    assert source_kind("bertsmith-mini") is SourceKind.FOLDER
    assert source_kind("owner/model@v1") is SourceKind.HUB
    assert source_kind("./missing") is SourceKind.FOLDER
