//! Dynamo's two trees behind one face: events in, matches out.

use std::future::Future;
use std::pin::Pin;

use dynamo_kv_router::indexer::{SyncIndexer, ThreadPoolIndexer};
use dynamo_kv_router::protocols::{BlockHashOptions, LocalBlockHash, OverlapScores, RouterEvent};
use dynamo_kv_router::{ConcurrentRadixTreeCompressed, RadixTree, compute_block_hash_for_seq};

pub enum Index {
    /// The default: a concurrent tree, written by threads of its own, read on the caller's.
    Concurrent(ThreadPoolIndexer<ConcurrentRadixTreeCompressed>),
    /// The single-threaded tree.
    Single(RadixTree),
}

pub type Pending<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

impl Index {
    pub fn new(peer: &str, threads: usize, block_size: u32) -> Self {
        match peer {
            "concurrent" => Self::Concurrent(ThreadPoolIndexer::new(
                ConcurrentRadixTreeCompressed::new(),
                threads,
                block_size,
            )),
            "single" => Self::Single(RadixTree::new()),
            _ => panic!("no such index: {peer}"),
        }
    }

    pub fn apply(&mut self, event: RouterEvent) {
        match self {
            Self::Concurrent(indexer) => indexer.enqueue_event(event).expect("a running indexer"),
            Self::Single(tree) => tree.apply_event(event).expect("an event of a complete history"),
        }
    }

    pub fn drain(&self) {
        if let Self::Concurrent(indexer) = self {
            pollster::block_on(indexer.flush_and_wait()).expect("a running indexer");
        }
    }

    pub fn score(&self, tokens: &[u32], block_size: u32) -> OverlapScores {
        let hashes: Vec<LocalBlockHash> =
            compute_block_hash_for_seq(tokens, block_size, BlockHashOptions::default());
        match self {
            Self::Concurrent(indexer) => indexer.backend().find_matches(&hashes, false),
            Self::Single(tree) => tree.find_matches(hashes, false),
        }
    }
}
