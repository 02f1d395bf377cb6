// The harness of llm-d's index, event pool and scorer: llm-d <workload> <measurement> <threads> <argument>.
// Prints one JSON object; ../README.md has the measurements, which are the same in every language.
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"github.com/llm-d/llm-d-kv-cache/pkg/kvcache"
	"github.com/llm-d/llm-d-kv-cache/pkg/kvcache/kvblock"
	"github.com/llm-d/llm-d-kv-cache/pkg/kvevents"
	"github.com/llm-d/llm-d-kv-cache/pkg/kvevents/engineadapter"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// drainLimit is how long the pool may take for what it was given; past it, an event was dropped.
const drainLimit = time.Minute

// passes of a replay: a query's time is the least of them.
const passes = 3

// visibleFor is how long frames are offered at a steady rate.
const visibleFor = 8 * time.Second

type harness struct {
	workload *workload
	messages []*kvevents.RawMessage
	threads  int
	// podCacheSize is the most pods that the index remembers of a block (llm-d's default: 10).
	podCacheSize int
}

func main() {
	log.SetLogger(logr.Discard())
	w, err := readWorkload(os.Args[1])
	check(err)
	threads, err := strconv.Atoi(os.Args[3])
	check(err)
	runtime.GOMAXPROCS(threads)
	h := &harness{workload: w, threads: threads, podCacheSize: len(w.pods)}
	if size := os.Getenv("POD_CACHE_SIZE"); size != "" {
		h.podCacheSize, err = strconv.Atoi(size)
		check(err)
	}
	for _, f := range w.frames {
		h.messages = append(h.messages,
			&kvevents.RawMessage{Topic: w.topic(f.pod), Sequence: f.seq, Payload: f.payload})
	}
	argument := os.Args[4]
	var result map[string]any
	switch os.Args[2] {
	case "ingest":
		result = repeat(argument, h.ingest)
	case "decode":
		result = repeat(argument, h.decode)
	case "replay":
		nanoseconds := h.replay(argument)
		for range passes - 1 {
			for i, took := range h.replay(argument) {
				nanoseconds[i] = min(nanoseconds[i], took)
			}
		}
		result = map[string]any{"nanoseconds": nanoseconds}
	case "visible":
		rate, err := strconv.ParseFloat(argument, 64)
		check(err)
		h.ingest()
		result = map[string]any{"microseconds": h.visible(rate)}
	case "memory":
		result = map[string]any{"bytes": h.memory()}
	default:
		check(fmt.Errorf("no such measurement: %s", os.Args[2]))
	}
	check(json.NewEncoder(os.Stdout).Encode(result))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// repeat runs body once to warm up, then as often as it is told.
func repeat(times string, body func() time.Duration) map[string]any {
	count, err := strconv.Atoi(times)
	check(err)
	body()
	seconds, cpuSeconds := []float64{}, []float64{}
	for range count {
		runtime.GC()
		before := cpuTime()
		seconds = append(seconds, body().Seconds())
		cpuSeconds = append(cpuSeconds, (cpuTime() - before).Seconds())
	}
	return map[string]any{"seconds": seconds, "cpuSeconds": cpuSeconds}
}

// cpuTime is what all threads of the process have used.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func (h *harness) indexer() (*kvcache.Indexer, kvblock.TokenProcessor) {
	tokens, err := kvblock.NewChunkedTokenDatabase(&kvblock.TokenProcessorConfig{BlockSizeTokens: h.workload.blockSize})
	check(err)
	config, err := kvcache.NewDefaultConfig()
	check(err)
	config.KVBlockIndexConfig.InMemoryConfig.PodCacheSize = h.podCacheSize
	indexer, err := kvcache.NewKVCacheIndexer(context.Background(), config, tokens)
	check(err)
	return indexer, tokens
}

func (h *harness) pool(index kvblock.Index, tokens kvblock.TokenProcessor) *kvevents.Pool {
	config := kvevents.DefaultConfig()
	config.Concurrency = h.threads
	pool := kvevents.NewPool(config, index, tokens, engineadapter.NewVLLMAdapter())
	pool.Start(context.Background())
	return pool
}

// ingest ends when the pool has done all its work: Shutdown waits for that.
func (h *harness) ingest() time.Duration {
	indexer, tokens := h.indexer()
	pool := h.pool(indexer.KVBlockIndex(), tokens)
	started := time.Now()
	for _, message := range h.messages {
		pool.AddTask(message)
	}
	pool.Shutdown(context.Background())
	return time.Since(started)
}

func (h *harness) decode() time.Duration {
	adapter := engineadapter.NewVLLMAdapter()
	started := time.Now()
	for _, message := range h.messages {
		_, _, _, err := adapter.ParseMessage(message)
		check(err)
	}
	return time.Since(started)
}

// replay asks each query at its place in the stream, when all that came before is visible.
func (h *harness) replay(matchesPath string) []int64 {
	w := h.workload
	indexer, tokens := h.indexer()
	watched := watch(indexer.KVBlockIndex(), w, make([]time.Time, len(w.frames)))
	pool := h.pool(watched, tokens)
	nanoseconds := make([]int64, 0, len(w.queries))
	matches := make([]byte, 0, 4*len(w.queries)*len(w.pods))
	ask := func() {
		started := time.Now()
		scores, err := indexer.ScoreTokens(context.Background(), w.queries[len(nanoseconds)].tokens, w.model, w.pods, nil)
		nanoseconds = append(nanoseconds, time.Since(started).Nanoseconds())
		check(err)
		for _, pod := range w.pods {
			matches = binary.LittleEndian.AppendUint32(matches, uint32(scores[pod]))
		}
	}
	for i, message := range h.messages {
		if len(nanoseconds) < w.queriesBefore[i] {
			drain(watched, i)
			for len(nanoseconds) < w.queriesBefore[i] {
				ask()
			}
		}
		pool.AddTask(message)
	}
	drain(watched, len(h.messages))
	for len(nanoseconds) < len(w.queries) {
		ask()
	}
	pool.Shutdown(context.Background())
	check(os.WriteFile(matchesPath, matches, 0o644))
	return nanoseconds
}

// visible offers frames at a steady rate of block operations; a frame's time runs from when it was due.
func (h *harness) visible(operationsPerSecond float64) []float64 {
	w := h.workload
	indexer, tokens := h.indexer()
	visibleAt := make([]time.Time, len(w.frames))
	watched := watch(indexer.KVBlockIndex(), w, visibleAt)
	pool := h.pool(watched, tokens)
	dueAt := []time.Time{}
	started := time.Now()
	due := started
	for i, message := range h.messages {
		for time.Now().Before(due) {
			runtime.Gosched()
		}
		pool.AddTask(message)
		dueAt = append(dueAt, due)
		due = due.Add(time.Duration(float64(w.frames[i].operations) / operationsPerSecond * 1e9))
		if due.Sub(started) > visibleFor {
			break
		}
	}
	drain(watched, len(dueAt))
	pool.Shutdown(context.Background())
	microseconds := make([]float64, len(dueAt))
	for i := range dueAt {
		microseconds[i] = float64(visibleAt[i].Sub(dueAt[i]).Nanoseconds()) / 1000
	}
	return microseconds
}

// memory is the live heap that the filled index adds.
func (h *harness) memory() int64 {
	before := live()
	indexer, tokens := h.indexer()
	pool := h.pool(indexer.KVBlockIndex(), tokens)
	for _, message := range h.messages {
		pool.AddTask(message)
	}
	pool.Shutdown(context.Background())
	bytes := live() - before
	runtime.KeepAlive(indexer)
	runtime.KeepAlive(h) // else the workload counts as freed
	return bytes
}

func live() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

func drain(watched *watchedIndex, frames int) {
	for started := time.Now(); watched.done.Load() < int64(frames); runtime.Gosched() {
		if time.Since(started) > drainLimit {
			check(fmt.Errorf("llm-d dropped an event: %d of %d frames became visible", watched.done.Load(), frames))
		}
	}
}
