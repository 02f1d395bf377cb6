package main

import (
	"encoding/binary"
	"fmt"
	"os"
)

// frame is one step of one engine; seq counts its pod's frames from 0.
type frame struct {
	pod        int
	seq        uint64
	operations int
	// writes is the number of changes that the index is asked for: an Add for each stored event, an Evict for each
	// removed block.
	writes  int
	payload []byte
}

type query struct{ tokens []uint32 }

// workload is the file that README.md beside describes. A record is a frame or a query, by index.
type workload struct {
	model     string
	blockSize int
	pods      []string
	frames    []frame
	queries   []query
	// queriesBefore[i] is how many queries come before frame i.
	queriesBefore []int
}

func (w *workload) topic(pod int) string { return "kv@" + w.pods[pod] + "@" + w.model }

func readWorkload(path string) (*workload, error) {
	bytes, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(bytes) < 8 || string(bytes[:8]) != "KVPEERS1" {
		return nil, fmt.Errorf("%s is no workload file", path)
	}
	at := 8
	u32 := func() int {
		at += 4
		return int(binary.LittleEndian.Uint32(bytes[at-4:]))
	}
	take := func(n int) []byte {
		at += n
		return bytes[at-n : at]
	}
	w := &workload{blockSize: u32()}
	pods := u32()
	_ = u32() // resident pairs
	records := u32()
	w.model = string(take(u32()))
	seqs := make([]uint64, pods)
	for pod := range pods {
		w.pods = append(w.pods, fmt.Sprintf("pod-%d", pod))
	}
	for range records {
		switch kind := u32(); kind {
		case 1:
			f := frame{pod: u32()}
			storedEvents, storedBlocks, removedBlocks := u32(), u32(), u32()
			f.seq = seqs[f.pod]
			seqs[f.pod]++
			f.writes = storedEvents + removedBlocks
			f.operations = storedBlocks + removedBlocks
			f.payload = take(u32())
			w.frames = append(w.frames, f)
			w.queriesBefore = append(w.queriesBefore, len(w.queries))
		case 2:
			_ = u32() // label
			q := query{tokens: make([]uint32, u32())}
			take(4 * pods) // what is expected is compared by the reader of the results
			for i := range q.tokens {
				q.tokens[i] = uint32(u32())
			}
			w.queries = append(w.queries, q)
		default:
			return nil, fmt.Errorf("no such record: %d", kind)
		}
	}
	return w, nil
}
