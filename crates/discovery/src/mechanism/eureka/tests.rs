//! `eureka` against a simulated server: ports, metadata as written, invalid lists.

use crate::played::{Play, PlayedServer, ReceivedRequest, TestBed};

const APPS: &str = r#"<?xml version="1.0"?><applications><versions__delta>1</versions__delta><apps__hashcode>UP_2_</apps__hashcode>
 <application><name>META</name>
  <instance><hostName>meta001</hostName><app>META</app><ipAddr>192.0.2.1</ipAddr><status>UP</status><overriddenstatus>UNKNOWN</overriddenstatus>
   <port enabled="true">8080</port><securePort enabled="false">443</securePort><countryId>1</countryId>
   <dataCenterInfo class="c"><name>MyOwn</name><metadata><zone-x>a</zone-x></metadata></dataCenterInfo>
   <metadata class="x"><management.port>8090</management.port><html>&lt;b&gt;<i/></html></metadata>
   <homePageUrl>http://meta001:8080/</homePageUrl><statusPageUrl>http://meta001:8080/info</statusPageUrl>
   <healthCheckUrl>http://meta001:8080/health</healthCheckUrl><vipAddress>meta</vipAddress><secureVipAddress>meta-s</secureVipAddress>
   <instanceId>meta001:meta:8080</instanceId></instance>
  <instance><hostName>meta002</hostName><instanceId>i2</instanceId></instance>
 </application><application><name>EMPTY</name></application></applications>"#;

pub(crate) fn play(request: &ReceivedRequest) -> Play {
    match request.target.as_str() {
        "/eureka/apps" => Play::Raw("200 OK", "Content-Type: application/xml\r\n".to_owned(), APPS.into()),
        _ => Play::Raw("404 Not Found", String::new(), Vec::new()),
    }
}

pub(crate) fn section(address: &str) -> String {
    format!("eureka_sd_configs: [{{server: 'http://{address}/eureka', refresh_interval: 1s}}]")
}

#[tokio::test]
async fn instances_are_read_with_their_metadata() {
    let server = PlayedServer::start(play).await;
    let bed = TestBed::new(&section(&server.address));
    assert_eq!(
        bed.targets(2).await,
        [
            "meta001:8080 __meta_eureka_app_instance_country_id=1 \
             __meta_eureka_app_instance_datacenterinfo_metadata_zone_x=a \
             __meta_eureka_app_instance_datacenterinfo_name=MyOwn \
             __meta_eureka_app_instance_healthcheck_url=http://meta001:8080/health \
             __meta_eureka_app_instance_homepage_url=http://meta001:8080/ __meta_eureka_app_instance_hostname=meta001 \
             __meta_eureka_app_instance_id=meta001:meta:8080 __meta_eureka_app_instance_ip_addr=192.0.2.1 \
             __meta_eureka_app_instance_metadata_html=&lt;b&gt;<i/> \
             __meta_eureka_app_instance_metadata_management_port=8090 __meta_eureka_app_instance_port=8080 \
             __meta_eureka_app_instance_port_enabled=true __meta_eureka_app_instance_secure_port=443 \
             __meta_eureka_app_instance_secure_port_enabled=false __meta_eureka_app_instance_secure_vip_address=meta-s \
             __meta_eureka_app_instance_status=UP __meta_eureka_app_instance_statuspage_url=http://meta001:8080/info \
             __meta_eureka_app_instance_vip_address=meta __meta_eureka_app_name=META instance=meta001:meta:8080",
            "meta002:80 __meta_eureka_app_instance_country_id=0 __meta_eureka_app_instance_hostname=meta002 \
             __meta_eureka_app_instance_id=i2 __meta_eureka_app_name=META instance=i2"
        ]
    );
}
