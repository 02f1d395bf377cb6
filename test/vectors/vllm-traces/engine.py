"""One vLLM engine's prefix cache: its own KV cache manager, request, hash and event classes, without a model.

The calls are the ones that vLLM's scheduler makes, in its order: `get_computed_blocks` and `allocate_slots` for a
request that starts, `allocate_slots` for one that goes on, `append_output_token_ids`, `free`, `reset_prefix_cache`,
and once per step `take_events`. Needs `vllm_modules.load` first.
"""
import inspect
import os
from types import SimpleNamespace


def _accepted(function, **arguments):
    """Those of the arguments that this release's signature has."""
    return {name: value for name, value in arguments.items() if name in inspect.signature(function).parameters}


class Engine:
    def __init__(self, algorithm, seed, block_size, num_blocks, int_hashes, drafting):
        """`seed`: PYTHONHASHSEED, None for an environment without it. `drafting`: with EAGLE or MTP."""
        os.environ.pop("PYTHONHASHSEED", None)
        if seed is not None:
            os.environ["PYTHONHASHSEED"] = seed
        os.environ["VLLM_KV_EVENTS_USE_INT_BLOCK_HASHES"] = "1" if int_hashes else "0"

        import msgspec
        import torch
        from vllm.distributed.kv_events import KVEventBatch
        from vllm.lora.request import LoRARequest
        from vllm.utils.hashing import get_hash_fn_by_name
        from vllm.v1.core import kv_cache_utils
        from vllm.v1.core.kv_cache_manager import KVCacheManager
        from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec
        from vllm.v1.request import Request

        self._batch, self._lora, self._request = KVEventBatch, LoRARequest, Request
        self._encoder, self._decode = msgspec.msgpack.Encoder(), msgspec.msgpack.decode
        hash_function = get_hash_fn_by_name(algorithm)
        kv_cache_utils.init_none_hash(hash_function)
        self.none_hash = kv_cache_utils.NONE_HASH
        # From v0.33 on, the hash of a drafting engine's block covers the token after it, and no block is dropped for it
        # (vllm/config/vllm.py, num_hash_lookahead_tokens; v1/core/sched/scheduler.py).
        ahead = _accepted(kv_cache_utils.get_request_block_hasher, num_hash_lookahead_tokens=int(drafting))
        self._hasher = kv_cache_utils.get_request_block_hasher(block_size, hash_function, **ahead)
        self._lookahead = int(drafting)
        spec = FullAttentionSpec(
            block_size=block_size,
            num_kv_heads=1,
            head_size=1,
            dtype=torch.float32,
            **_accepted(FullAttentionSpec, use_mla=False),
        )
        group = KVCacheGroupSpec(["layer"], spec, **_accepted(KVCacheGroupSpec, is_eagle_group=drafting))
        config = KVCacheConfig(num_blocks=num_blocks, kv_cache_tensors=[], kv_cache_groups=[group])
        self.manager = KVCacheManager(
            config,
            max_model_len=1 << 20,
            enable_caching=True,
            use_eagle=drafting and not ahead,
            enable_kv_cache_events=True,
            **ahead,
            **_accepted(KVCacheManager, scheduler_block_size=block_size, hash_block_size=block_size),
        )
        self._ts = 1_700_000_000.0

    def request(self, name, tokens, lora=None, salt=None, images=()):
        """`lora`: (name, id, path). `images`: (identifier, offset, length) each."""
        # Requests reach an engine as msgpack: equal strings are objects of their own, which pickle's bytes show.
        lora, salt, images = self._decode(self._encoder.encode((lora, salt, images)))
        sampling = SimpleNamespace(
            max_tokens=1 << 20, extra_args=None, prompt_logprobs=None, skip_reading_prefix_cache=None
        )
        features = [
            SimpleNamespace(identifier=identifier, mm_position=SimpleNamespace(offset=offset, length=length))
            for identifier, offset, length in images
        ]
        return self._request(
            request_id=name,
            prompt_token_ids=tokens,
            sampling_params=sampling,
            pooling_params=None,
            lora_request=self._lora(*lora) if lora else None,
            cache_salt=salt,
            mm_features=features or None,
            block_hasher=self._hasher,
            **_accepted(self._request, eos_token_id=None),
        )

    def hit(self, request):
        """How many tokens the request would reuse if it were scheduled now. Changes nothing."""
        return self.manager.get_computed_blocks(request)[1]

    def start(self, request, most):
        """Reuse what is cached and compute up to `most` tokens more; the reused tokens, or None if it does not fit."""
        blocks, hit = self.manager.get_computed_blocks(request)[:2]
        count = min(most, request.num_tokens - hit)
        if self.manager.allocate_slots(request, count, hit, blocks, self._lookahead) is None:
            return None
        request.num_computed_tokens = hit + count
        return hit

    def compute(self, request, most):
        """Compute up to `most` tokens more of a running request; False if they do not fit."""
        count = min(most, request.num_tokens - request.num_computed_tokens)
        if self.manager.allocate_slots(request, count, num_lookahead_tokens=self._lookahead) is None:
            return False
        request.num_computed_tokens += count
        return True

    def preempt(self, request):
        self.manager.free(request)
        request.num_computed_tokens = 0
        request.num_preemptions += 1

    def finish(self, request):
        self.manager.free(request)

    def reset(self):
        return self.manager.reset_prefix_cache()

    def payload(self):
        """What the publisher sends for the step that ends now: bytes, or None where nothing happened."""
        events = self.manager.take_events()
        if not events:
            return None
        self._ts += 0.25
        return self._encoder.encode(self._batch(ts=self._ts, events=events, data_parallel_rank=0))
