//! The workload file, as ../README.md describes it.

pub struct Frame {
    pub pod: u64,
    /// Blocks stored and removed.
    pub operations: u32,
    pub payload: Vec<u8>,
}

pub enum Record {
    Frame(Frame),
    Query(Vec<u32>),
}

pub struct Workload {
    pub block_size: u32,
    pub pods: u32,
    pub records: Vec<Record>,
}

struct Reader {
    bytes: Vec<u8>,
    at: usize,
}

impl Reader {
    fn take(&mut self, length: usize) -> &[u8] {
        self.at += length;
        &self.bytes[self.at - length..self.at]
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take(4).try_into().unwrap())
    }
}

impl Workload {
    pub fn read(path: &str) -> Self {
        let bytes = std::fs::read(path).expect("the workload file");
        let mut file = Reader { bytes, at: 0 };
        assert_eq!(file.take(8), b"KVPEERS1", "no workload file");
        let (block_size, pods, _resident_pairs, count) = (file.u32(), file.u32(), file.u32(), file.u32());
        let model = file.u32() as usize;
        file.take(model);
        let records = (0..count).map(|_| file.record(pods as usize)).collect();
        Self { block_size, pods, records }
    }

    pub fn frames(&self) -> impl Iterator<Item = &Frame> {
        self.records.iter().filter_map(|record| match record {
            Record::Frame(frame) => Some(frame),
            Record::Query(_) => None,
        })
    }
}

impl Reader {
    fn record(&mut self, pods: usize) -> Record {
        match self.u32() {
            1 => {
                let pod = u64::from(self.u32());
                let (_stored_events, stored, removed) = (self.u32(), self.u32(), self.u32());
                let length = self.u32() as usize;
                let payload = self.take(length).to_vec();
                Record::Frame(Frame { pod, operations: stored + removed, payload })
            }
            2 => {
                let (_label, length) = (self.u32(), self.u32());
                // What is expected is compared by the reader of the results.
                self.take(4 * pods);
                Record::Query((0..length).map(|_| self.u32()).collect())
            }
            kind => panic!("no such record: {kind}"),
        }
    }
}
