package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/llm-d/llm-d-kv-cache/pkg/kvcache/kvblock"
)

// watchedIndex is an index that knows when a pod's n-th change was made. The pool works asynchronously and says nothing
// when it is done, so this is how a frame is seen to be visible. A pod's changes are made by one worker, in order.
type watchedIndex struct {
	kvblock.Index
	pods map[string]*watchedPod
	// done counts the frames whose changes have all been made.
	done atomic.Int64
}

type watchedPod struct {
	changes int
	// pending are the pod's frames that are not visible yet, oldest first, with the change that completes each.
	pending []watchedFrame
}

type watchedFrame struct {
	lastChange int
	visibleAt  *time.Time
}

func watch(index kvblock.Index, w *workload, visibleAt []time.Time) *watchedIndex {
	watched := &watchedIndex{Index: index, pods: map[string]*watchedPod{}}
	for _, pod := range w.pods {
		watched.pods[pod] = &watchedPod{}
	}
	changes := make([]int, len(w.pods))
	for i, f := range w.frames {
		changes[f.pod] += f.writes
		pod := watched.pods[w.pods[f.pod]]
		pod.pending = append(pod.pending, watchedFrame{changes[f.pod], &visibleAt[i]})
	}
	return watched
}

func (w *watchedIndex) Add(ctx context.Context, engineKeys, requestKeys []kvblock.BlockHash, entries []kvblock.PodEntry) error {
	err := w.Index.Add(ctx, engineKeys, requestKeys, entries)
	w.changed(entries)
	return err
}

func (w *watchedIndex) Evict(ctx context.Context, key kvblock.BlockHash, keyType kvblock.KeyType, entries []kvblock.PodEntry) error {
	err := w.Index.Evict(ctx, key, keyType, entries)
	w.changed(entries)
	return err
}

func (w *watchedIndex) changed(entries []kvblock.PodEntry) {
	pod := w.pods[entries[0].PodIdentifier]
	pod.changes++
	if len(pod.pending) > 0 && pod.pending[0].lastChange == pod.changes {
		*pod.pending[0].visibleAt = time.Now()
		pod.pending = pod.pending[1:]
		w.done.Add(1)
	}
}
