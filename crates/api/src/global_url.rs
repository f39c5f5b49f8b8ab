//! URLs of targets as other machines reach them.

/// The URL of a target as other machines reach it: the server's own address becomes its external URL, and in
/// other local URLs the host becomes the external host.
pub(crate) fn global_url(url: &str, listen_address: &str, scheme: &str, external_host: &str) -> String {
    let Some((own_scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (host, port) = split_host_port(authority);
    if !["127.0.0.1", "localhost", "::1"].contains(&host) {
        return url.to_owned();
    }
    let (_, own_port) = split_host_port(listen_address);
    if port == own_port {
        return format!("{scheme}://{external_host}{path}");
    }
    let (external_name, _) = split_host_port(external_host);
    let external_name =
        if external_name.contains(':') { format!("[{external_name}]") } else { external_name.to_owned() };
    match port {
        "" => format!("{own_scheme}://{external_name}{path}"),
        port => format!("{own_scheme}://{external_name}:{port}{path}"),
    }
}

/// Host without brackets, and port or "".
fn split_host_port(authority: &str) -> (&str, &str) {
    if let Some((host, after)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (host, after.strip_prefix(':').unwrap_or(""));
    }
    authority.rsplit_once(':').unwrap_or((authority, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_addresses_become_external_ones() {
        let global = |url| global_url(url, "0.0.0.0:9090", "https", "prom.example:443");
        for (url, want) in [
            ("http://localhost:9090/metrics", "https://prom.example:443/metrics"),
            ("http://127.0.0.1:9100/metrics?a=b", "http://prom.example:9100/metrics?a=b"),
            ("http://[::1]:9100/metrics", "http://prom.example:9100/metrics"),
            ("http://localhost/metrics", "http://prom.example/metrics"),
            ("http://other:9090/metrics", "http://other:9090/metrics"),
        ] {
            assert_eq!(global(url), want);
        }
    }
}
