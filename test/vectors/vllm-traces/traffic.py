"""Seeded traffic through one engine, stepped as vLLM's scheduler steps, and the trace of it.

A step is one line of the trace:
  ask      requests that arrive: their prompt, and the tokens that the engine would reuse before anything of this step
           (when the frames of all earlier steps are out)
  do       what the scheduler did, in order (below)
  payload  base64 of the event batch that the engine publishes at the step's end; absent if nothing happened

  ["start", request, most, hit]   scheduled with up to `most` new tokens; reused `hit` tokens; null: did not fit
  ["compute", request, most, ok]  up to `most` further tokens, or ok = false: did not fit
  ["preempt", request]            its blocks are freed, its tokens kept; it will start again
  ["append", request]             the next token of its output was sampled
  ["finish", request]             done or aborted
  ["reset", ok]                   the prefix cache was asked to forget everything

Tokens are never listed: a prompt is a list of [stream, from, count], and `token` says what a stream contains. The
output of request n is stream 1 000 000 + n.
"""
import base64

OUTPUT = 1_000_000
VOCABULARIES = (250, 32_000, 151_936)
U32 = 0xFFFFFFFF


def token(stream, index):
    """The token at an index of a stream: a 32-bit mix, so that any language can say it."""
    x = (stream * 0x9E3779B1 + index * 0x85EBCA6B + 1) & U32
    x ^= x >> 16
    x = (x * 0x7FEB352D) & U32
    x ^= x >> 15
    x = (x * 0x846CA68B) & U32
    x ^= x >> 16
    return x % VOCABULARIES[stream % len(VOCABULARIES)]


def tokens_of(segments):
    return [token(stream, index) for stream, start, count in segments for index in range(start, start + count)]


class Traffic:
    def __init__(self, engine, random, kinds, loras):
        """`kinds`: what happens beside plain prompts, of "turns", "lora", "salt", "image", "reset"."""
        self.engine, self.random, self.kinds, self.loras = engine, random, kinds, loras
        self.asked = 0
        self.waiting, self.running = [], []
        self.conversations = []
        self.next_stream = 1000
        self.hits = 0

    def run(self, requests):
        """Yield the trace's lines until so many requests have come and gone."""
        while self.asked < requests or self.waiting or self.running:
            yield self._step(requests)

    def _step(self, requests):
        arriving = []
        # Bursts and lulls: now and then the engine falls idle, which a reset needs.
        if len(self.waiting) < 4 and self.random.random() < 0.5 * (len(self.running) < 6):
            arriving = [self._arrive() for _ in range(min(self.random.randint(1, 3), requests - self.asked))]
        line = {"ask": [job["line"] for job in arriving], "do": []}
        for job in arriving:
            job["line"]["hit"] = self.engine.hit(job["request"])
            self.hits += job["line"]["hit"]
        self.waiting += arriving
        do = line["do"]
        if "reset" in self.kinds and self.random.random() < (0.4 if not self.running else 0.004):
            do.append(["reset", self.engine.reset()])
        self._schedule_running(do)
        self._schedule_waiting(do)
        self._sample(do)
        payload = self.engine.payload()
        if payload is not None:
            line["payload"] = base64.b64encode(payload).decode()
        return {name: value for name, value in line.items() if value}

    def _schedule_running(self, do):
        for job in list(self.running):
            most = self._most()
            while job in self.running:
                ok = self.engine.compute(job["request"], most)
                do.append(["compute", job["id"], most, ok])
                if ok:
                    break
                # vLLM preempts the request that came last, be it this one.
                victim = self.running.pop()
                self.engine.preempt(victim["request"])
                do.append(["preempt", victim["id"]])
                self.waiting.insert(0, victim)

    def _schedule_waiting(self, do):
        if do and do[-1][0] == "preempt":
            return
        while self.waiting and len(self.running) < 8:
            job, most = self.waiting[0], self._most()
            hit = self.engine.start(job["request"], most)
            do.append(["start", job["id"], most, hit])
            if hit is None:
                return
            self.running.append(self.waiting.pop(0))

    def _sample(self, do):
        for job in list(self.running):
            request = job["request"]
            done = self.random.random() < 0.003
            if request.num_computed_tokens == request.num_tokens:
                request.append_output_token_ids(token(OUTPUT + job["id"], request.num_output_tokens))
                do.append(["append", job["id"]])
                done = done or request.num_output_tokens >= job["outputs"]
            if done:
                self.engine.finish(request)
                self.running.remove(job)
                do.append(["finish", job["id"]])
                if "turns" in self.kinds:
                    self.conversations.append((job, request.num_output_tokens))

    def _most(self):
        """Chunked prefill: the token budget of a step is sometimes small."""
        return self.random.choice((24, 50, 1024, 1024, 1024))

    def _arrive(self):
        job = {"id": self.asked, "outputs": self.random.choice((1, 2, 5, 17, 40))}
        self.asked += 1
        line = self._turn() or self._prompt()
        job["line"] = line
        tokens = tokens_of(line["prompt"])
        lora = self.loras.get(line.get("lora"))
        job["request"] = self.engine.request(
            f"request-{job['id']}",
            tokens,
            (line["lora"], *lora) if lora else None,
            line.get("salt"),
            line.get("images", ()),
        )
        return job

    def _turn(self):
        """The next turn of a conversation, or a second try of the last one."""
        if not self.conversations or self.random.random() < 0.4:
            return None
        job, outputs = self.conversations.pop(self.random.randrange(max(0, len(self.conversations) - 8), len(self.conversations)))
        line = {name: value for name, value in job["line"].items() if name != "hit"}
        if sum(count for _, _, count in line["prompt"]) > 500:
            return None
        line["prompt"] = line["prompt"] + [[OUTPUT + job["id"], 0, outputs], self._own(self.random.randint(1, 60))]
        return line

    def _prompt(self):
        """A system prompt of a few that many share, and a question of its own, or whole blocks asked again."""
        random = self.random
        system = random.choice((0, 1, 2, 3))
        count = random.choice((16, 48, 100, 160, 161, 200))
        prompt = [[system, 0, count]]
        if random.random() < 0.6:
            prompt.append(self._own(random.randint(1, 120)))
        line = {"prompt": prompt}
        for kind, values in (("lora", list(self.loras)), ("salt", ["tenant-a", "tenant-b"])):
            if kind in self.kinds and random.random() < 0.4:
                line[kind] = random.choice(values)
        if "image" in self.kinds and random.random() < 0.4:
            # Items near the end reach the block that generation completes, which vLLM keys by its last item alone.
            total = sum(part[2] for part in prompt)
            ends = sorted(random.sample(range(total + 1), 4)) if random.random() < 0.5 else [total - 9, total - 5, total - 4, total]
            places = [(start, end - start) for start, end in (ends[:2], ends[2:]) if end > start]
            line["images"] = [[random.choice(("image-1", "image-2")), start, length] for start, length in places]
        return line

    def _own(self, count):
        self.next_stream += 1
        return [self.next_stream, 0, count]
