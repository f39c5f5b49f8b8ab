//! `digitalocean` against a simulated server: its labels, and its behaviour on errors of the server.

use super::*;
use crate::played::{Play, PlayedServer, round_of, section_of};

#[tokio::test]
async fn droplets_are_read_page_by_page() {
    let server = PlayedServer::start(|request| {
        assert_eq!(request.headers["authorization"], "Bearer T");
        let droplet = |id: u32| {
            format!(
                r#"{{"id": {id}, "name": "d{id}", "size_slug": "s", "status": "active", "vpc_uuid": "v",
                "image": {{"name": "n", "slug": "deb"}}, "region": {{"slug": "fra"}}, "features": ["ipv6"], "tags": ["a", "b"],
                "networks": {{"v4": [{{"ip_address": "10.0.0.{id}", "type": "private"}}, {{"ip_address": "1.2.3.{id}", "type": "public"}}],
                "v6": [{{"ip_address": "fd00::{id}", "type": "public"}}]}}}}"#
            )
        };
        Play::Json(match request.target.as_str() {
            "/v2/droplets?page=1&per_page=200" => {
                format!(r#"{{"droplets": [{}], "links": {{"pages": {{"last": "x?page=2"}}}}}}"#, droplet(1))
            }
            _ => format!(r#"{{"droplets": [{}, {{"id": 3, "networks": {{"v4": []}}}}], "links": {{}}}}"#, droplet(2)),
        })
    })
    .await;
    let (section, context) =
        section_of::<DigitalOcean>("digitalocean_sd_configs: [{authorization: {credentials: T}}]");
    let mut mechanism = DigitalOcean::new(section, &context).expect("a provider");
    mechanism.base = format!("http://{}", server.address);
    let rest = "__meta_digitalocean_image=deb __meta_digitalocean_image_name=n";
    let end = "__meta_digitalocean_region=fra __meta_digitalocean_size=s __meta_digitalocean_status=active \
               __meta_digitalocean_tags=,a,b, __meta_digitalocean_vpc=v";
    let droplet = |id: u32| {
        format!(
            "1.2.3.{id}:80 __meta_digitalocean_droplet_id={id} __meta_digitalocean_droplet_name=d{id} \
             __meta_digitalocean_features=,ipv6, {rest} __meta_digitalocean_private_ipv4=10.0.0.{id} \
             __meta_digitalocean_public_ipv4=1.2.3.{id} __meta_digitalocean_public_ipv6=fd00::{id} {end}"
        )
    };
    assert_eq!(round_of(&mut mechanism).await, [droplet(1), droplet(2)]);
}

#[tokio::test]
async fn databases_are_read_until_a_page_is_empty() {
    let server = PlayedServer::start(|request| {
        Play::Json(if request.target.contains("page=1&") {
            r#"{"databases": [{"id": "i", "name": "n", "engine": "pg", "version": "16", "status": "online", "region": "fra",
               "size": "s", "num_nodes": 2, "connection": {"host": "pub.x"}, "private_connection": {"host": "priv.x"}, "tags": ["t"]}]}"#
                .to_owned()
        } else {
            r#"{"databases": null}"#.to_owned()
        })
    })
    .await;
    let (section, context) =
        section_of::<DigitalOcean>("digitalocean_sd_configs: [{role: databases, port: 5}]");
    let mut mechanism = DigitalOcean::new(section, &context).expect("a provider");
    mechanism.base = format!("http://{}", server.address);
    assert_eq!(
        round_of(&mut mechanism).await,
        [
            "priv.x:5 __meta_digitalocean_db_engine=pg __meta_digitalocean_db_host=pub.x __meta_digitalocean_db_id=i \
          __meta_digitalocean_db_name=n __meta_digitalocean_db_num_nodes=2 __meta_digitalocean_db_private_host=priv.x \
          __meta_digitalocean_db_region=fra __meta_digitalocean_db_size=s __meta_digitalocean_db_status=online \
          __meta_digitalocean_db_tag_t=true __meta_digitalocean_db_version=16"
        ]
    );
}
