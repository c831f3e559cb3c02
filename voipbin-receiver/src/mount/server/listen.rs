use std::io;

use tokio::net::{TcpListener, TcpSocket, ToSocketAddrs, lookup_host};

use super::Server;

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 4096;

impl Server {
    /// Listens on an address, for [`serve`](Self::serve) or any other server: of several, on the
    /// first one that is free.
    ///
    /// Up to 4,096 connections may wait to be accepted, or fewer where the system says so (on Linux
    /// `net.core.somaxconn`, which is 4,096 too). [`TcpListener::bind`] has room for 128, and one
    /// more is asked to come again by silence: its client waits for a second before it does.
    /// VoIPBIN opens as many connections as it has events.
    ///
    /// An address with port 0 gets a free one. On Unix an address can be used again while
    /// connections of the process before still end.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> std::io::Result<()> {
    /// let listener = voipbin_receiver::mount::Server::bind("127.0.0.1:0").await?;
    /// assert_ne!(listener.local_addr()?.port(), 0);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the system, of the last address that was tried; [`io::ErrorKind::AddrInUse`] when
    /// another program has it. When a name stands for no address, [`io::ErrorKind::InvalidInput`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is bound when the future is dropped.
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<TcpListener> {
        let mut failed = None;
        for address in lookup_host(address).await? {
            let listening = || {
                let socket = if address.is_ipv4() {
                    TcpSocket::new_v4()
                } else {
                    TcpSocket::new_v6()
                }?;
                // On Windows it would let two programs have the address.
                #[cfg(not(windows))]
                socket.set_reuseaddr(true)?;
                socket.bind(address)?;
                socket.listen(BACKLOG)
            };
            match listening() {
                Ok(listener) => return Ok(listener),
                Err(error) => failed = Some(error),
            }
        }
        let nowhere = || io::Error::new(io::ErrorKind::InvalidInput, "there is no such address");
        Err(failed.unwrap_or_else(nowhere))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "this is test code")]

    use std::net::{SocketAddr, TcpStream};
    use std::time::Duration;

    use super::*;

    // Where the system is known to let that many wait.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn hundreds_of_connections_wait_to_be_accepted() {
        let listener = Server::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // Nobody accepts meanwhile. Without room each would wait for all of this time.
        let connect = |_| TcpStream::connect_timeout(&address, Duration::from_secs(30)).unwrap();
        let waiting: Vec<_> = (0..400).map(connect).collect();
        for _ in &waiting {
            listener.accept().await.unwrap();
        }
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_an_error_and_the_next_one_is_tried() {
        let taken = Server::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let error = Server::bind(address).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Server::bind(&[address, free][..]).await.unwrap();
        assert_ne!(listener.local_addr().unwrap(), address);
        let error = Server::bind(&[][..]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
