"""Help texts of options: read once, and the same as draccus reads."""

import functools
import inspect

from draccus.argparsing import ArgumentParser
from draccus.wrappers import docstring
from lerobot.configs.train import TrainPipelineConfig

from lerobot_sdm import help_texts
from lerobot_sdm.plugin import register_all


def test_the_same_texts(monkeypatch):
    register_all()
    found = ArgumentParser(TrainPipelineConfig).parser.format_help()
    for name in ("get_attribute_docstring", "_contains_attribute_definition"):
        monkeypatch.setattr(docstring, name, inspect.unwrap(getattr(docstring, name)))
    monkeypatch.setattr(docstring, "_get_class_source", functools.cache(inspect.unwrap(docstring._get_class_source)))
    assert ArgumentParser(TrainPipelineConfig).parser.format_help() == found
    assert "--policy.horizon" in found


def test_sources_are_searched_once():
    register_all()
    help_texts.register()  # A second time changes nothing.
    ArgumentParser(TrainPipelineConfig)
    before = docstring.get_attribute_docstring.cache_info()
    assert before.currsize > 1000
    ArgumentParser(TrainPipelineConfig)
    after = docstring.get_attribute_docstring.cache_info()
    assert after.misses - before.misses < 5  # Failed searches are not kept.
    assert after.hits > before.hits
