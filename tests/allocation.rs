//! A request on a warm keep-alive connection allocates nothing on its worker, and over HTTP/2 next to nothing.
//!
//! The runtime runs in this process, under an allocator that counts what the worker asks for that was started last.
//! Client and backend are other threads, so their memory does not count.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking anywhere")]

use std::alloc::GlobalAlloc;
use std::alloc::Layout;
use std::alloc::System;
use std::collections::HashMap;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::AtomicI32;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Instant;

use ringway::config;
use ringway::config::Source;
use ringway::control::active_config::ActiveConfig;
use ringway::control::build::Host;
use ringway::control::credentials;
use ringway::control::credentials::certificates::read_file;
use ringway::control::credentials::file_reload::FileReload;
use ringway::control::credentials::file_reload::files_of;
use ringway::control::discovery::dns::WatchedNames;
use ringway::control::reload;
use ringway::net::clock::instant_now;
use ringway::proto::h2::connection::Connection;
use ringway::proto::h2::connection::Event;
use ringway::proto::h2::settings::Local;
use ringway::runtime;
use ringway::runtime::DriverChoice;
use ringway::runtime::Serving;
use ringway::runtime::plan::LogPlan;
use ringway::runtime::plan::RuntimePlan;
use ringway::telemetry::access_log::Format;
use ringway::telemetry::log_filter::LogFilter;
use ringway::telemetry::log_output::Sink;
use ringway::telemetry::log_template::LogTemplate;

struct Counting;

static ON_WORKERS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_worker() {
            ON_WORKERS.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: the caller's promises are handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are handed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The thread whose memory counts: the worker that was started last. Others of this process are idle, and have their
/// own work of each second.
static WORKER: AtomicI32 = AtomicI32::new(0);

/// Asks the kernel who this thread is: asking the standard library could allocate.
fn is_worker() -> bool {
    // SAFETY: the call has no argument and cannot fail.
    unsafe { libc::gettid() == WORKER.load(Ordering::Relaxed) }
}

/// From now on the worker counts that has started since `before`.
fn count_the_worker_beyond(before: &[i32]) {
    loop {
        if let Some(worker) = workers().into_iter().find(|thread| !before.contains(thread)) {
            return WORKER.store(worker, Ordering::Relaxed);
        }
        std::thread::yield_now();
    }
}

/// The threads of this process that are named like workers.
fn workers() -> Vec<i32> {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().map(|entry| entry.unwrap());
    let named = threads.filter(|thread| {
        std::fs::read_to_string(thread.path().join("comm")).is_ok_and(|name| name.trim_end() == "ringway-0")
    });
    named.map(|thread| thread.file_name().to_str().unwrap().parse().unwrap()).collect()
}

const BODY: &str = "a body of the backend";
const WARM_UP: usize = 300;
const MEASURED: usize = 3000;
/// A queue may grow, and a worker spells dates out once a second and looks what of its memory it can give back.
fn background(since: Instant) -> u64 {
    const ONCE: u64 = 70;
    const EACH_SECOND: u64 = 7;
    ONCE + EACH_SECOND * since.elapsed().as_secs()
}

/// One test, because one worker of this process counts.
#[test]
fn a_warm_worker_serves_without_allocating() {
    let backend = backend();
    requests(backend);
    streams(backend);
}

/// Limits that no request goes beyond, and what tells that requests passed.
const LIMITS: &str = "requests_per_second = 1000000\nvia = true\nloop_detection = true\n\
    per_client = { requests_per_second = 1000000 }\n[[ip_group]]\nname = \"all\"\nentries = [\"0.0.0.0/0\"]\n\
    [[rule]]\nname = \"all\"\nlistener = \"web\"\npriority = 1\nsource_ip = \"all\"\ngroup = \"app\"\n\
    limit = { requests_per_second = 1000000, per_client_requests_per_second = 999999 }\n";

/// What a request decides about its response, and headers of that which are edited by all that can.
const EDITS: &str = "response_headers = [{ set_header = { name = \"x-a\", value = \"1\" } }, \
    { set_header = { name = \"x-client\", value = { system = \"client_ip\" } } }]\n\
    [[rule]]\nname = \"all\"\nlistener = \"web\"\npriority = 1\npath_prefix = \"/\"\ngroup = \"app\"\n\
    append_response_header = { name = \"x-b\", value = { header = \"content-length\" } }\n\
    [[rule]]\nname = \"ok\"\nlistener = \"web\"\npriority = 1\ndirection = \"response\"\nstatus = 200\n\
    path = \"~^/\"\nremove_response_header = { name = \"server\" }\n";

/// Responses that are shared with other origins, of a rule that could be in maintenance.
const SHARED: &str = "[[rule]]\nname = \"all\"\nlistener = \"web\"\npriority = 1\npath_prefix = \"/\"\ngroup = \"app\"\n\
    cors = { allow_origins = [\"https://*.example.com\"], allow_credentials = true, expose_headers = [\"x-a\"] }\n\
    maintenance = { retry_after = \"1h\", allow = \"192.0.2.0/24\" }\n";

/// Traces that are passed on, and one that a collector is told of which is not there.
const PASSED_ON: &str = "[tracing]\npropagate = true\nsample = 0\n";
const SAMPLED: &str = "[tracing]\npropagate = true\notlp = \"http://127.0.0.1:9/v1/traces\"\n";

fn requests(backend: SocketAddr) {
    for (name, log, listener) in [
        ("no log", vec![], ""),
        ("log", vec![Format::default()], ""),
        ("log by a template", vec![by_template()], ""),
        ("three logs", vec![by_template(), Format::Combined, Format::default()], ""),
        ("limits", vec![], LIMITS),
        ("edits", vec![], EDITS),
        ("shared", vec![], SHARED),
        ("traces", vec![], PASSED_ON),
        ("sampled traces", vec![], SAMPLED),
    ] {
        let address = start(backend, log, listener);
        let mut client = TcpStream::connect(address).unwrap();
        client.set_nodelay(true).unwrap();
        let get = "GET /path?query HTTP/1.1\r\nHost: example.com\r\nUser-Agent: test\r\n\
                   Origin: https://app.example.com\r\nCookie: a=b\r\n\r\n";
        let post = "POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 5\r\n\r\nhello";
        for request in [get, post] {
            (0..WARM_UP).for_each(|_| exchange(&mut client, request));
            let (before, begun) = (ON_WORKERS.load(Ordering::Relaxed), instant_now());
            (0..MEASURED).for_each(|_| exchange(&mut client, request));
            let allocations = ON_WORKERS.load(Ordering::Relaxed) - before;
            assert!(
                allocations < background(begun),
                "{name}: {allocations} allocations for {MEASURED} × {request:?}, {:?}",
                begun.elapsed()
            );
        }
    }
}

fn by_template() -> Format {
    let template = LogTemplate::parse(
        "$remote_addr \"$request\" $status $http_user_agent $cookie_a $request_id $sent_http_content_type",
    );
    Format::Template(Arc::new(template.unwrap()))
}

/// Its task, and what the connection knows of the stream.
const PER_STREAM: u64 = 2;

fn streams(backend: SocketAddr) {
    let address = start(backend, vec![], "");
    let mut client = Http2Client {
        socket: TcpStream::connect(address).unwrap(),
        codec: Connection::client(Local::default()),
    };
    client.socket.set_nodelay(true).unwrap();
    (0..WARM_UP).for_each(|_| client.exchange());
    let (before, begun) = (ON_WORKERS.load(Ordering::Relaxed), instant_now());
    (0..MEASURED).for_each(|_| client.exchange());
    let allocations = ON_WORKERS.load(Ordering::Relaxed) - before;
    let most = PER_STREAM * MEASURED as u64 + background(begun);
    assert!(allocations < most, "{allocations} allocations for {MEASURED} streams");
}

struct Http2Client {
    socket: TcpStream,
    codec: Connection,
}

impl Http2Client {
    fn exchange(&mut self) {
        let fields: [(&[u8], &[u8]); 6] = [
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":path", b"/path?query"),
            (b":authority", b"example.com"),
            (b"user-agent", b"test"),
            (b"cookie", b"a=b"),
        ];
        self.codec.open(fields, true).unwrap();
        let mut received = [0; 4096];
        loop {
            let mut output = Vec::new();
            self.codec.poll_output(&mut output);
            self.socket.write_all(&output).unwrap();
            let count = self.socket.read(&mut received).unwrap();
            assert_ne!(count, 0, "closed");
            if self.handle(&received[..count]) {
                return;
            }
        }
    }

    /// Whether the response has come to its end.
    fn handle(&mut self, mut bytes: &[u8]) -> bool {
        loop {
            let received = self.codec.handle_bytes(bytes, 0);
            let rest = &bytes[received.consumed..];
            match received.event {
                Some(Event::Content { stream, content, end }) => {
                    let content = &bytes[content];
                    assert!(BODY.as_bytes().ends_with(content));
                    self.codec.release(stream, content.len() as u32);
                    if end {
                        return true;
                    }
                }
                Some(Event::Head { .. } | Event::Settings | Event::WindowOpened { .. }) => {}
                None => return false,
                other => panic!("{other:?}"),
            }
            bytes = rest;
        }
    }
}

fn exchange(client: &mut TcpStream, request: &str) {
    client.write_all(request.as_bytes()).unwrap();
    let mut received = Vec::new();
    while !received.ends_with(BODY.as_bytes()) {
        let mut piece = [0; 1024];
        let count = client.read(&mut piece).unwrap();
        assert_ne!(count, 0, "closed after {:?}", String::from_utf8_lossy(&received));
        received.extend_from_slice(&piece[..count]);
    }
    assert!(received.starts_with(b"HTTP/1.1 200 OK\r\n"));
}

/// Serves in a thread of this process and returns the listener's address.
/// `logs` are the formats of as many access logs, `listener` are further lines of it.
fn start(backend: SocketAddr, logs: Vec<Format>, listener: &str) -> SocketAddr {
    let tables: String =
        (0..logs.len()).map(|index| format!("[[access_log]]\npath = \"/log-{index}\"\n")).collect();
    let text = format!(
        "config_version = 1\n[process]\nworkers = 1\npin = false\n{tables}[[listener]]\nname = \"web\"\n\
         address = \"127.0.0.1:0\"\nprotocol = \"http\"\nhttp2 = true\ndefault_group = \"app\"\n\
         {listener}[[server_group]]\nname = \"app\"\n[[server_group.backend]]\naddress = \"{backend}\"\n"
    );
    let mut loaded = config::load(vec![Source::made_up("<test>", text)]);
    let config = loaded.config.unwrap();
    let host = Host { name: "test".to_owned(), connections: 100, workers: 1 };
    let credentials = credentials::load(&config, &read_file, &mut loaded.report);
    let active =
        ActiveConfig::start(config.clone(), credentials, &HashMap::new(), host, &mut loaded.report).unwrap();
    let channels = active.channels().clone();
    let file_reload = FileReload::new(&active, Box::new(read_file), files_of(&config));
    let commands = reload::start(active, file_reload, WatchedNames::new(&[]), (None, Vec::new())).unwrap();
    let plan = move || RuntimePlan {
        admin: None,
        settle: None,
        signals: None,
        channels,
        commands,
        workers: 1,
        access_logs: logs.into_iter().map(to_nowhere).collect(),
        pin: false,
        balance_connections: true,
        ring_entries: config.process.ring_entries,
        io_driver: DriverChoice::Auto,
        shutdown_delay: config.process.shutdown_delay,
        shutdown_timeout: config.process.shutdown_timeout,
        health_cpu: None,
    };
    let before = workers();
    let (serving, announced) = mpsc::channel();
    let announce = move |running: &Serving| serving.send(running.listeners[0].2).unwrap();
    std::thread::spawn(move || runtime::run(plan(), announce).unwrap());
    let address = announced.recv().unwrap();
    count_the_worker_beyond(&before);
    address
}

fn to_nowhere(format: Format) -> LogPlan {
    let filter = LogFilter { statuses: [].into(), sample_millionths: 1_000_000 };
    LogPlan { sink: Sink::File("/dev/null".into()), format, filter }
}

/// Resolutions every request head with the same response.
fn backend() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            std::thread::spawn(move || answer_all(connection));
        }
    });
    address
}

fn answer_all(mut connection: TcpStream) {
    connection.set_nodelay(true).unwrap();
    let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nServer: test\r\n\r\n{BODY}", BODY.len());
    let mut received = [0; 4096];
    // Requests come whole and one at a time, for the client waits for each answer.
    while connection.read(&mut received).is_ok_and(|count| count > 0) {
        connection.write_all(response.as_bytes()).unwrap();
    }
}
