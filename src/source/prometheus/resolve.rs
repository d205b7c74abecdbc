//! Addresses of host names, even while DNS is what is broken.
//!
//! Owns: name resolution in this process (no libc, so the static binary resolves too), and the last
//! good addresses of a host. Does not own: connections (`client`).

use std::collections::HashMap;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::config::NameServerConfig;
use hickory_resolver::config::ResolverConfig;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use reqwest::dns::Addrs;
use reqwest::dns::Name;
use reqwest::dns::Resolve;
use reqwest::dns::Resolving;
use tokio::time::timeout;

/// The longest that one name server may take to answer one question.
const SERVER_TIMEOUT: Duration = Duration::from_secs(2);

/// Resolves by `/etc/hosts` and `/etc/resolv.conf`, and remembers.
struct Resolver {
    /// How long a lookup may take where no address is known yet; half of it where one is.
    patience: Duration,
    lookups: OnceLock<Result<TokioResolver, String>>,
    last_good: Mutex<HashMap<String, Vec<IpAddr>>>,
}

impl Resolver {
    fn new(patience: Duration) -> Resolver {
        Resolver { patience, lookups: OnceLock::new(), last_good: Mutex::default() }
    }

    /// The addresses of a host: current ones, else the last good ones.
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        let before = self.remembered(host);
        let limit = if before.is_some() { self.patience / 2 } else { self.patience };
        let found = match timeout(limit, self.lookup(host)).await {
            Ok(found) => found,
            Err(_) => Err(format!("no answer from DNS within {limit:?}")),
        };
        match (found, before) {
            (Ok(found), _) => {
                let mut last_good = self.last_good.lock().unwrap_or_else(PoisonError::into_inner);
                last_good.insert(host.to_string(), found.clone());
                Ok(found)
            }
            (Err(error), Some(before)) => {
                tracing::warn!(host, error, "cannot resolve; using the last good address");
                Ok(before)
            }
            (Err(error), None) => Err(error),
        }
    }

    fn remembered(&self, host: &str) -> Option<Vec<IpAddr>> {
        self.last_good.lock().unwrap_or_else(PoisonError::into_inner).get(host).cloned()
    }

    async fn lookup(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        // Built at first use, because building needs a running tokio.
        let lookups = self.lookups.get_or_init(system).as_ref().map_err(Clone::clone)?;
        let found = lookups.lookup_ip(host).await.map_err(|error| error.to_string())?;
        let found: Vec<IpAddr> = found.iter().collect();
        if found.is_empty() { Err("it has no address".to_string()) } else { Ok(found) }
    }
}

/// A resolver set up as the system says; without `/etc/resolv.conf` the local machine is asked, as
/// libc does.
fn system() -> Result<TokioResolver, String> {
    let mut builder = TokioResolver::builder_tokio().unwrap_or_else(|error| {
        tracing::warn!(%error, "no usable /etc/resolv.conf; asking 127.0.0.1");
        let local = NameServerConfig::udp_and_tcp(Ipv4Addr::LOCALHOST.into());
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![local]);
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    });
    let options = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.timeout = options.timeout.min(SERVER_TIMEOUT);
    builder.build().map_err(|error| error.to_string())
}

/// A resolver that several clients share.
#[derive(Clone)]
pub(super) struct Shared(Arc<Resolver>);

impl Shared {
    /// `patience`: how long a lookup may take.
    pub(super) fn new(patience: Duration) -> Shared {
        Shared(Arc::new(Resolver::new(patience)))
    }
}

impl Resolve for Shared {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = Arc::clone(&self.0);
        Box::pin(async move {
            let host = name.as_str();
            let found = resolver.addresses(host).await?;
            // Port 0 stands for the URL's.
            let addresses: Addrs =
                Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use hickory_resolver::config::ConnectionConfig;
    use tokio::net::UdpSocket;

    use super::*;

    /// A name server on loopback that gives every A question this address for 0 s.
    async fn name_server(address: Ipv4Addr) -> (u16, tokio::task::JoinHandle<()>) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            let mut question = [0; 512];
            loop {
                let (len, from) = socket.recv_from(&mut question).await.unwrap();
                let asked = question[12..len].iter().position(|byte| *byte == 0).unwrap() + 17;
                let is_a = question[asked - 4..asked - 2] == [0, 1];
                let mut answer = question[..asked].to_vec();
                answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, is_a.into(), 0, 0, 0, 0]);
                if is_a {
                    answer.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
                    answer.extend(address.octets());
                }
                socket.send_to(&answer, from).await.unwrap();
            }
        });
        (port, task)
    }

    fn asking(port: u16) -> Resolver {
        let mut connection = ConnectionConfig::udp();
        connection.port = port;
        let server = NameServerConfig::new(Ipv4Addr::LOCALHOST.into(), true, vec![connection]);
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let provider = TokioRuntimeProvider::default();
        let mut builder = TokioResolver::builder_with_config(config, provider);
        builder.options_mut().timeout = Duration::from_millis(300);
        let resolver = Resolver::new(Duration::from_secs(2));
        assert!(resolver.lookups.set(Ok(builder.build().unwrap())).is_ok());
        resolver
    }

    #[tokio::test]
    async fn the_last_good_address_outlives_dns() {
        let address = Ipv4Addr::new(10, 1, 2, 3);
        let (port, server) = name_server(address).await;
        let resolver = asking(port);
        let found = resolver.addresses("prometheus.monitoring.svc").await;
        assert_eq!(found, Ok(vec![IpAddr::from(address)]));
        server.abort();
        let _ = server.await;
        let found = resolver.addresses("prometheus.monitoring.svc").await;
        assert_eq!(found, Ok(vec![IpAddr::from(address)]));
        assert!(resolver.addresses("never.seen.svc").await.is_err());
    }

    #[tokio::test]
    async fn localhost_needs_no_server() {
        let found = Resolver::new(Duration::from_secs(2)).addresses("localhost").await.unwrap();
        assert!(found.iter().all(IpAddr::is_loopback), "{found:?}");
    }
}
