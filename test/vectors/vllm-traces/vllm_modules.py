"""vLLM's own cache modules without the rest of vLLM: no torch, no GPU, no compiled extension.

`load(root)` makes the modules named in REAL importable from an unpacked wheel. Every other module that they ask for
(torch, the configuration, the logger, samplers, sockets) is a stand-in whose attributes are empty classes, so nothing
outside REAL takes part in what is recorded.
"""
import ast
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import logging
import os
import sys
import types
import typing

# What decides block hashes, hits, evictions and event bytes, and what these are built of.
REAL = {
    "vllm.distributed.kv_events",
    "vllm.envs",
    "vllm.lora.request",
    "vllm.utils.hashing",
    "vllm.utils.math_utils",
    "vllm.utils.mem_constants",
    "vllm.v1.core.block_pool",
    "vllm.v1.core.kv_cache_coordinator",
    "vllm.v1.core.kv_cache_manager",
    "vllm.v1.core.kv_cache_utils",
    "vllm.v1.core.single_type_kv_cache_manager",
    "vllm.v1.hisparse.block_pool",
    "vllm.v1.kv_cache_interface",
    "vllm.v1.kv_cache_layout",
    "vllm.v1.kv_cache_spec_registry",
    "vllm.v1.request",
}
STOOD_IN = ("torch", "zmq", "vllm")
# Only newer releases hash with a function of this module.
SOMETIMES = {"vllm.multimodal.utils"}


class _Anything(type):
    """A class that has every attribute, takes every argument, and may stand in an annotation or a list of bases."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return _stand_in(name)

    def __getitem__(cls, _):
        return cls

    def __iter__(cls):
        return iter(())


def _stand_in(name):
    return _Anything(name, (), {"__init__": lambda self, *a, **k: None, "__class_getitem__": classmethod(lambda c, _: c)})


class _StandInModule(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        full = f"{self.__name__}.{name}"
        if full in REAL:  # `from vllm import envs`
            return importlib.import_module(full)
        value = _stand_in(name)
        setattr(self, name, value)
        return value


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def __init__(self, root):
        self.root = root

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in STOOD_IN:
            return None
        file = os.path.join(self.root, *name.split(".")) + ".py"
        if name in REAL and os.path.exists(file):
            return importlib.util.spec_from_file_location(name, file)
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        return _StandInModule(spec.name)

    def exec_module(self, module):
        module.__path__ = []


def _take(root, module, name):
    """One top-level function or class out of a file whose imports are too heavy to follow."""
    path = os.path.join(root, *module.split("."))
    files = [file for file in (path + ".py", os.path.join(path, "__init__.py")) if os.path.exists(file)]
    for file in files:
        with open(file) as source:
            tree = ast.parse(source.read())
        found = [node for node in tree.body if getattr(node, "name", None) == name]
        if found:
            body = ast.parse("from __future__ import annotations").body
            body += [node for node in tree.body if _imports_standard_library(node)]
            scope = vars(importlib.import_module(module))
            scope["T"] = typing.TypeVar("T")
            exec(compile(ast.Module(body=body + found, type_ignores=[]), file, "exec"), scope)
            return
    if module not in SOMETIMES:
        raise ImportError(f"{module} of this release has no {name}")


def _imports_standard_library(node):
    if isinstance(node, ast.ImportFrom):
        return node.module.split(".")[0] in sys.stdlib_module_names - {"__future__"}
    return isinstance(node, ast.Import) and all(
        alias.name.split(".")[0] in sys.stdlib_module_names for alias in node.names
    )


def load(root):
    """Make REAL importable from `root`, the directory that holds an unpacked wheel's `vllm`."""
    sys.meta_path.insert(0, _Finder(os.path.abspath(root)))
    logger = logging.getLogger("vllm")
    logger.setLevel(logging.ERROR)
    for kind in ("info", "warning", "debug"):
        setattr(logger, f"{kind}_once", lambda *a, **k: None)
    importlib.import_module("vllm.logger").init_logger = lambda name: logger
    _take(root, "vllm.v1.utils", "ConstantList")
    _take(root, "vllm.utils", "length_from_prompt_token_ids_or_embeds")
    _take(root, "vllm.multimodal.utils", "get_mm_features_in_window")
