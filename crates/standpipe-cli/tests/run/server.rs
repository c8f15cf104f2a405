//! A web server that does, connection by connection, what a test says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What one connection is answered.
pub(crate) type Answer = Box<dyn FnOnce(&mut Exchange) + Send>;

/// Makes an answer of a closure.
pub(crate) fn answer(work: impl FnOnce(&mut Exchange) + Send + 'static) -> Answer {
    Box::new(work)
}

/// An answer that is always the same.
pub(crate) fn says(text: &str) -> Answer {
    let text = text.to_owned();
    answer(move |exchange| exchange.say(&text))
}

trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

/// One request, and the way back.
pub(crate) struct Exchange {
    wire: BufReader<Box<dyn Wire>>,
    /// The head of the request, with its line ends.
    pub(crate) head: String,
}

impl Exchange {
    fn begin(wire: Box<dyn Wire>) -> Self {
        let mut exchange = Self { wire: BufReader::new(wire), head: String::new() };
        while !exchange.head.ends_with("\r\n\r\n") {
            let count = exchange.wire.read_line(&mut exchange.head).expect("a head is text");
            if count == 0 {
                break;
            }
        }
        exchange
    }

    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines
            .into_iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    /// Sends bytes; the client may have left.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let wire = self.wire.get_mut();
        wire.write_all(bytes).and_then(|()| wire.flush()).ok();
    }

    /// Sends text.
    pub(crate) fn say(&mut self, text: &str) {
        self.send(text.as_bytes());
    }

    /// Reads the body: `Err` with what there was if it has no end.
    pub(crate) fn body(&mut self) -> Result<Vec<u8>, Vec<u8>> {
        let mut body = Vec::new();
        if let Some(length) = self.header("content-length").map(str::to_owned) {
            let length = length.parse().expect("a length is a number");
            // A connection that breaks is an end, too.
            (&mut self.wire).take(length).read_to_end(&mut body).ok();
            return if body.len() as u64 == length { Ok(body) } else { Err(body) };
        }
        loop {
            let mut line = String::new();
            if !self.wire.read_line(&mut line).is_ok_and(|count| count > 0) {
                return Err(body);
            }
            let size = u64::from_str_radix(line.trim(), 16).expect("a chunk begins with its size");
            let before = body.len() as u64;
            (&mut self.wire).take(size).read_to_end(&mut body).ok();
            let whole = body.len() as u64 == before + size;
            let mut end = [0; 2];
            if !whole || self.wire.read_exact(&mut end).is_err() {
                return Err(body);
            }
            if size == 0 {
                return Ok(body);
            }
        }
    }

    /// Reads the body of a client that asks before it sends.
    pub(crate) fn invite(&mut self) -> Result<Vec<u8>, Vec<u8>> {
        assert_eq!(self.header("expect"), Some("100-continue"), "{}", self.head);
        self.say("HTTP/1.1 100 Continue\r\n\r\n");
        self.body()
    }
}

/// A server that answers so many connections and then refuses them.
pub(crate) struct Server {
    address: SocketAddr,
    scheme: &'static str,
    thread: JoinHandle<Vec<String>>,
}

impl Server {
    /// Answers each connection with the next of `answers`.
    pub(crate) fn start(answers: Vec<Answer>) -> Self {
        Self::on(answers, "http", |stream| Box::new(stream))
    }

    /// Answers as [`Server::start`] does, by TLS.
    pub(crate) fn secure(answers: Vec<Answer>, identity: &Identity) -> Self {
        let config = Arc::clone(&identity.config);
        Self::on(answers, "https", move |stream| {
            let connection = ServerConnection::new(Arc::clone(&config)).expect("it was configured");
            Box::new(StreamOwned::new(connection, stream))
        })
    }

    fn on(
        answers: Vec<Answer>,
        scheme: &'static str,
        wrap: impl Fn(TcpStream) -> Box<dyn Wire> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let thread = std::thread::spawn(move || {
            let mut heads = Vec::new();
            for answer in answers {
                let (stream, _) = listener.accept().expect("the command connects");
                let mut exchange = Exchange::begin(wrap(stream));
                heads.push(exchange.head.clone());
                answer(&mut exchange);
            }
            heads
        });
        Self { address, scheme, thread }
    }

    /// The URI of a path of it.
    pub(crate) fn uri(&self, path: &str) -> String {
        format!("{}://localhost:{}{path}", self.scheme, self.address.port())
    }

    /// Waits until all was answered; the heads of the requests.
    #[track_caller]
    pub(crate) fn heads(self) -> Vec<String> {
        self.thread.join().expect("every answer was given")
    }
}

/// A certificate for `localhost` that nobody knows yet.
pub(crate) struct Identity {
    config: Arc<ServerConfig>,
    /// What has to be trusted, as PEM.
    pub(crate) pem: String,
}

impl Identity {
    pub(crate) fn new() -> Self {
        let made =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("it is a name");
        let key =
            PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("it was just made");
        let chain: Vec<CertificateDer<'static>> = vec![made.cert.der().clone()];
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key))
            .expect("it is a fine certificate");
        Self { config: Arc::new(config), pem: made.cert.pem() }
    }
}
