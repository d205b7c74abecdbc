//! The smallest HTTP client that will do: one request, one connection, no waiting without bound.

use std::io;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::time::Duration;

/// What a server answered.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// GET of `http://127.0.0.1:port/path`.
pub(crate) fn get(url: &str) -> io::Result<Response> {
    send("GET", url, &[], "")
}

/// POST of JSON.
pub(crate) fn post_json(url: &str, body: &serde_json::Value) -> io::Result<Response> {
    send("POST", url, &[("Content-Type", "application/json")], &body.to_string())
}

/// One request. It says HTTP/1.0, so the answer is neither chunked nor kept alive.
pub(crate) fn send(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> io::Result<Response> {
    let rest = url.strip_prefix("http://").ok_or_else(|| wrong("only http://"))?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address: SocketAddr = host.parse().map_err(|_| wrong("only addresses with a port"))?;
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.set_write_timeout(Some(Duration::from_secs(5)))?;

    let mut request = format!("{method} /{path} HTTP/1.0\r\nHost: {host}\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    request += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes())?;

    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| wrong("no header's end"))?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok(Response { status: status.ok_or_else(|| wrong("no status"))?, body: body.to_owned() })
}

/// A value of a query string, percent-encoded.
pub(crate) fn encode(value: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let encode = |byte| if keep(byte) { char::from(byte).into() } else { format!("%{byte:02X}") };
    value.bytes().map(encode).collect()
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
