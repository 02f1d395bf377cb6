//! The harness of Dynamo's trees: `dynamo-peer <concurrent|single> <workload> <measurement> <threads> <argument>`.
//! Prints one JSON object; ../README.md has the measurements, which are the same in every language.

mod index;
mod live_bytes;
mod workload;

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use cpu_time::ProcessTime;
use dynamo_kv_router::protocols::{RouterEvent, WorkerWithDpRank};
use dynamo_kv_router::zmq_wire::{ZmqEventNormalizer, decode_event_batch};

use index::{Index, Pending};
use workload::{Frame, Record, Workload};

/// Of a replay: a query's time is the least of them.
const PASSES: usize = 3;
/// How long frames are offered at a steady rate.
const VISIBLE_SECONDS: f64 = 8.0;

#[global_allocator]
static ALLOCATOR: live_bytes::Counting = live_bytes::Counting;

struct Harness {
    peer: String,
    threads: usize,
    workload: Workload,
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let harness = Harness {
        peer: words[1].clone(),
        threads: words[4].parse().expect("a number of threads"),
        workload: Workload::read(&words[2]),
    };
    let argument = &words[5];
    let times = || argument.parse().expect("a number of repetitions");
    match words[3].as_str() {
        "ingest" => repeat(times(), || harness.ingest()),
        "decode" => repeat(times(), || harness.decode()),
        "structs" => repeat(times(), || harness.structs()),
        "replay" => {
            let passes: Vec<_> = (0..PASSES).map(|_| harness.replay(argument)).collect();
            let least = |i: usize| passes.iter().map(|pass| pass[i]).fold(f64::INFINITY, f64::min);
            print("nanoseconds", &(0..passes[0].len()).map(least).collect::<Vec<_>>());
        }
        "visible" => {
            harness.ingest();
            let rate = argument.parse().expect("a rate");
            print("microseconds", &harness.visible(rate));
        }
        "memory" => println!("{{\"bytes\":{}}}", harness.memory()),
        other => panic!("no such measurement: {other}"),
    }
}

fn print(what: &str, values: &[f64]) {
    println!("{{\"{what}\":{values:?}}}");
}

/// Once to warm up, then as often as it is told.
fn repeat(times: usize, body: impl Fn() -> (Duration, Duration)) {
    body();
    let took: Vec<_> = (0..times).map(|_| body()).collect();
    let seconds: Vec<f64> = took.iter().map(|(wall, _)| wall.as_secs_f64()).collect();
    let cpu_seconds: Vec<f64> = took.iter().map(|(_, cpu)| cpu.as_secs_f64()).collect();
    println!("{{\"seconds\":{seconds:?},\"cpuSeconds\":{cpu_seconds:?}}}");
}

/// Since a moment: what the clock says, and what all threads of the process have used.
struct Stopwatch(Instant, ProcessTime);

impl Stopwatch {
    fn start() -> Self {
        Self(Instant::now(), ProcessTime::now())
    }

    fn took(&self) -> (Duration, Duration) {
        (self.0.elapsed(), self.1.elapsed())
    }
}

/// One engine's stream on its way to the index: what Dynamo's own listener of vLLM's sockets does with a payload.
struct Stream {
    worker: WorkerWithDpRank,
    normalizer: ZmqEventNormalizer,
    events: u64,
}

impl Stream {
    fn all(workload: &Workload) -> Vec<Self> {
        let stream = |pod| Self {
            worker: WorkerWithDpRank::new(u64::from(pod), 0),
            normalizer: ZmqEventNormalizer::new(workload.block_size),
            events: 0,
        };
        (0..workload.pods).map(stream).collect()
    }

    fn events(&mut self, frame: &Frame, mut each: impl FnMut(RouterEvent)) {
        let batch = decode_event_batch(&frame.payload).expect("a batch");
        for raw in batch.events {
            let event = self.normalizer.normalize(raw, self.events, self.worker);
            self.events += 1;
            each(event.and_then(|event| event.into_router_event()).expect("an event of a worker"));
        }
    }
}

impl Harness {
    fn index(&self) -> Index {
        Index::new(&self.peer, self.threads, self.workload.block_size)
    }

    fn fill(&self) -> Index {
        let mut index = self.index();
        let mut streams = Stream::all(&self.workload);
        for frame in self.workload.frames() {
            streams[frame.pod as usize].events(frame, |event| index.apply(event));
        }
        index.drain();
        index
    }

    fn ingest(&self) -> (Duration, Duration) {
        let started = Stopwatch::start();
        let index = match self.index() {
            Index::Concurrent(indexer) if self.threads > 1 => {
                // As many decoding threads as writing ones, each with pods of its own.
                thread::scope(|scope| {
                    for share in 0..self.threads as u64 {
                        let indexer = &indexer;
                        scope.spawn(move || {
                            let mut streams = Stream::all(&self.workload);
                            let mine = |frame: &&Frame| frame.pod % self.threads as u64 == share;
                            for frame in self.workload.frames().filter(mine) {
                                streams[frame.pod as usize].events(frame, |event| {
                                    indexer.enqueue_event(event).expect("a running indexer");
                                });
                            }
                        });
                    }
                });
                let index = Index::Concurrent(indexer);
                index.drain();
                index
            }
            _ => self.fill(),
        };
        let took = started.took();
        drop(index);
        took
    }

    fn decode(&self) -> (Duration, Duration) {
        let started = Stopwatch::start();
        for frame in self.workload.frames() {
            black_box(decode_event_batch(&frame.payload).expect("a batch"));
        }
        started.took()
    }

    /// The index alone, from Dynamo's own event structs, as its benchmarks feed it.
    fn structs(&self) -> (Duration, Duration) {
        let mut events = Vec::new();
        let mut streams = Stream::all(&self.workload);
        for frame in self.workload.frames() {
            streams[frame.pod as usize].events(frame, |event| events.push(event));
        }
        let mut index = self.index();
        let started = Stopwatch::start();
        for event in events {
            index.apply(event);
        }
        index.drain();
        started.took()
    }

    /// Each query at its place in the stream, when all that came before is visible.
    fn replay(&self, matches_path: &str) -> Vec<f64> {
        let mut index = self.index();
        let mut streams = Stream::all(&self.workload);
        let mut nanoseconds = Vec::new();
        let mut matches = Vec::new();
        for record in &self.workload.records {
            match record {
                Record::Frame(frame) => {
                    streams[frame.pod as usize].events(frame, |event| index.apply(event));
                }
                Record::Query(tokens) => {
                    index.drain();
                    let started = Instant::now();
                    let overlap = index.score(tokens, self.workload.block_size);
                    nanoseconds.push(started.elapsed().as_nanos() as f64);
                    for pod in 0..u64::from(self.workload.pods) {
                        let blocks = overlap.scores.get(&WorkerWithDpRank::new(pod, 0));
                        matches.extend_from_slice(&blocks.copied().unwrap_or(0).to_le_bytes());
                    }
                }
            }
        }
        std::fs::write(matches_path, matches).expect("a file for the matches");
        nanoseconds
    }

    /// Frames come at a steady rate of block operations; a frame's time runs from when it was due until its last event
    /// is acknowledged. The thread that waits for the next frame looks for acknowledgements meanwhile.
    fn visible(&self, operations_per_second: f64) -> Vec<f64> {
        let mut frames: Vec<&Frame> = self.workload.frames().collect();
        let mut offered = 0.0;
        frames.retain(|frame| {
            let is_offered = offered <= VISIBLE_SECONDS;
            offered += f64::from(frame.operations) / operations_per_second;
            is_offered
        });
        let mut streams = Stream::all(&self.workload);
        let mut microseconds = vec![0.0; frames.len()];
        let mut due = 0.0;
        let mut index = self.index();
        let started = Instant::now();
        let since = |due: f64| (started.elapsed().as_secs_f64() - due) * 1e6;
        if let Index::Single(_) = index {
            for (i, frame) in frames.iter().enumerate() {
                while started.elapsed().as_secs_f64() < due {}
                streams[frame.pod as usize].events(frame, |event| index.apply(event));
                microseconds[i] = since(due);
                due += f64::from(frame.operations) / operations_per_second;
            }
            return microseconds;
        }
        let Index::Concurrent(indexer) = &index else { unreachable!() };
        let mut lanes: Vec<VecDeque<(usize, f64, Pending)>> = streams.iter().map(|_| VecDeque::new()).collect();
        let mut context = Context::from_waker(Waker::noop());
        let mut collect = |lanes: &mut Vec<VecDeque<(usize, f64, Pending)>>| {
            for lane in lanes.iter_mut() {
                while let Some((frame, due, pending)) = lane.front_mut() {
                    if pending.as_mut().poll(&mut context).is_pending() {
                        break;
                    }
                    microseconds[*frame] = since(*due);
                    lane.pop_front();
                }
            }
        };
        for (i, frame) in frames.iter().enumerate() {
            while started.elapsed().as_secs_f64() < due {
                collect(&mut lanes);
            }
            let lane = &mut lanes[frame.pod as usize];
            streams[frame.pod as usize].events(frame, |event| {
                let mut pending: Pending = Box::pin(async {
                    indexer.apply_event_and_wait(event).await.expect("an applied event");
                });
                // The first poll hands the event over. If it is also applied by then, a frame that ends with it is
                // visible no later than the next look.
                match pending.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Pending => lane.push_back((i, due, pending)),
                    Poll::Ready(()) => lane.push_back((i, due, Box::pin(std::future::ready(())))),
                }
            });
            due += f64::from(frame.operations) / operations_per_second;
        }
        while lanes.iter().any(|lane| !lane.is_empty()) {
            collect(&mut lanes);
        }
        microseconds
    }

    /// Live bytes that the filled index adds.
    fn memory(&self) -> i64 {
        live_bytes::ON.store(true, Relaxed);
        let before = live_bytes::live_bytes();
        let index = self.fill();
        let bytes = live_bytes::live_bytes() - before;
        drop(index);
        bytes
    }
}
