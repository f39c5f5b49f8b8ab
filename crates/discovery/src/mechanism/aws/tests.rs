//! Simulated AWS services: signed requests, pages, and each role, both in its own section and through
//! `aws_sd_configs`.

use crate::played::{Play, PlayedServer, ReceivedRequest, TestBed};

const EC2_PAGES: [&str; 2] = [
    r#"<?xml version="1.0" encoding="UTF-8"?><DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><reservationSet><item><ownerId>own</ownerId>
<instancesSet><item><instanceId>i-1</instanceId><imageId>ami</imageId><instanceState><code>16</code><name>running</name></instanceState>
<privateDnsName>p.dns</privateDnsName><dnsName>pub.dns</dnsName><instanceType>t3</instanceType><placement><availabilityZone>z-a</availabilityZone></placement>
<platform>windows</platform><subnetId>sn1</subnetId><vpcId>vpc</vpcId><privateIpAddress>10.0.0.1</privateIpAddress><ipAddress>1.2.3.4</ipAddress>
<architecture>x86_64</architecture><instanceLifecycle>spot</instanceLifecycle><tagSet><item><key>Name x</key><value>web</value></item></tagSet>
<networkInterfaceSet><item><subnetId>sn1</subnetId><attachment><deviceIndex>0</deviceIndex></attachment><ipv6AddressesSet>
<item><ipv6Address>fd00::1</ipv6Address><isPrimaryIpv6>false</isPrimaryIpv6></item></ipv6AddressesSet></item>
<item><subnetId>sn2</subnetId><attachment><deviceIndex>2</deviceIndex></attachment><ipv6AddressesSet>
<item><ipv6Address>fd00::2</ipv6Address><isPrimaryIpv6>true</isPrimaryIpv6></item></ipv6AddressesSet></item></networkInterfaceSet></item>
<item><instanceId>i-none</instanceId><imageId>ami</imageId><instanceState><name>terminated</name></instanceState><placement><availabilityZone>z-a</availabilityZone></placement></item>
</instancesSet></item></reservationSet><nextToken>T=1</nextToken></DescribeInstancesResponse>"#,
    r#"<DescribeInstancesResponse><reservationSet><item><ownerId>own</ownerId><instancesSet><item><instanceId>i-2</instanceId><imageId>ami</imageId>
<instanceState><name>stopped</name></instanceState><instanceType>t2</instanceType><placement><availabilityZone>z-b</availabilityZone></placement>
<privateIpAddress>10.0.0.2</privateIpAddress></item></instancesSet></item></reservationSet></DescribeInstancesResponse>"#,
];
const ZONES: &str = "<DescribeAvailabilityZonesResponse><availabilityZoneInfo><item><zoneName>z-a</zoneName><zoneId>id-1</zoneId></item>\
    </availabilityZoneInfo></DescribeAvailabilityZonesResponse>";
const CARDS: &str = "<DescribeNetworkInterfacesResponse><networkInterfaceSet><item><networkInterfaceId>eni-1</networkInterfaceId>\
    <association><publicIp>5.5.5.5</publicIp></association></item></networkInterfaceSet></DescribeNetworkInterfacesResponse>";
const LIGHTSAIL: &str = r#"{"instances": [{"name": "ls", "supportCode": "s/1", "location": {"availabilityZone": "us-east-1a", "regionName": "us-east-1"},
    "tags": [{"key": "k 1", "value": "v"}, {"key": "only"}], "blueprintId": "wp", "bundleId": "nano", "privateIpAddress": "172.26.0.1",
    "publicIpAddress": "3.3.3.3", "ipv6Addresses": ["fd00::5"], "state": {"name": "running", "code": 16}}, {"name": "none"}]}"#;

/// The value of a field of a form.
fn field<'b>(body: &'b str, name: &str) -> &'b str {
    body.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
}

fn xml(body: impl Into<String>) -> Play {
    Play::Raw("200 OK", "Content-Type: text/xml\r\n".to_owned(), body.into().into_bytes())
}

/// EC2, and the services with forms and XML.
pub(crate) fn query(request: &ReceivedRequest) -> Play {
    let authorization = request.headers.get("authorization").map_or("", String::as_str);
    if !authorization.starts_with("AWS4-HMAC-SHA256 Credential=AK/") {
        let body = "<Response><Errors><Error><Code>AuthFailure</Code><Message>no</Message></Error></Errors></Response>";
        return Play::Raw("401 Unauthorized", String::new(), body.into());
    }
    let body = &request.body;
    match field(body, "Action") {
        "DescribeInstances" if body.contains("NextToken=T%3D1") => xml(EC2_PAGES[1]),
        "DescribeInstances" if body.contains("InstanceId.1=i-1") => {
            xml(EC2_PAGES[0].replace("<nextToken>T=1</nextToken>", ""))
        }
        "DescribeInstances" => xml(EC2_PAGES[0]),
        "DescribeAvailabilityZones" => xml(ZONES),
        "DescribeNetworkInterfaces" => xml(CARDS),
        "DescribeDBClusters" => xml(
            "<DescribeDBClustersResponse><DescribeDBClustersResult><DBClusters><DBCluster><DBClusterArn>arn:c</DBClusterArn>\
             <DBClusterIdentifier>c</DBClusterIdentifier><Engine>aurora</Engine><MultiAZ>true</MultiAZ><Port>5432</Port>\
             <ClusterCreateTime>2024-01-02T03:04:05.678Z</ClusterCreateTime><DBClusterMembers><DBClusterMember>\
             <DBInstanceIdentifier>d1</DBInstanceIdentifier><IsClusterWriter>true</IsClusterWriter></DBClusterMember></DBClusterMembers>\
             <TagList><Tag><Key>a b</Key><Value>v</Value></Tag></TagList></DBCluster></DBClusters></DescribeDBClustersResult></DescribeDBClustersResponse>",
        ),
        "DescribeDBInstances" => xml(
            "<DescribeDBInstancesResponse><DescribeDBInstancesResult><DBInstances><DBInstance><DBInstanceArn>arn:d</DBInstanceArn>\
             <DBInstanceIdentifier>d1</DBInstanceIdentifier><DBInstanceClass>db.t3</DBInstanceClass><Endpoint><Address>d1.rds</Address>\
             <Port>5432</Port><HostedZoneId>Z</HostedZoneId></Endpoint><TagList/></DBInstance></DBInstances></DescribeDBInstancesResult></DescribeDBInstancesResponse>",
        ),
        "DescribeServerlessCaches" => xml(
            "<DescribeServerlessCachesResponse><DescribeServerlessCachesResult><ServerlessCaches><member><ARN>arn:s</ARN>\
             <ServerlessCacheName>sc</ServerlessCacheName><Status>available</Status><Endpoint><Address>sc.cache</Address><Port>6379</Port></Endpoint>\
             <SecurityGroupIds><SecurityGroupId>sg-1</SecurityGroupId></SecurityGroupIds><CacheUsageLimits><DataStorage><Maximum>10</Maximum>\
             <Unit>GB</Unit></DataStorage></CacheUsageLimits></member></ServerlessCaches></DescribeServerlessCachesResult></DescribeServerlessCachesResponse>",
        ),
        "DescribeCacheClusters" if body.contains("NotInReplicationGroups=true") => xml(
            "<DescribeCacheClustersResponse><DescribeCacheClustersResult/></DescribeCacheClustersResponse>",
        ),
        "DescribeCacheClusters" => xml(
            "<DescribeCacheClustersResponse><DescribeCacheClustersResult><CacheClusters><CacheCluster><ARN>arn:k</ARN><CacheClusterId>k</CacheClusterId>\
             <Engine>redis</Engine><SecurityGroups><member><SecurityGroupId>sg-2</SecurityGroupId><Status>active</Status></member></SecurityGroups>\
             <CacheNodes><CacheNode><CacheNodeId>0001</CacheNodeId><CacheNodeCreateTime>2024-01-02T03:04:05Z</CacheNodeCreateTime>\
             <Endpoint><Address>k.cache</Address><Port>6380</Port></Endpoint></CacheNode></CacheNodes></CacheCluster></CacheClusters>\
             </DescribeCacheClustersResult></DescribeCacheClustersResponse>",
        ),
        "ListTagsForResource" => xml(format!(
            "<ListTagsForResourceResponse><ListTagsForResourceResult><TagList><Tag><Key>of</Key><Value>{}</Value></Tag></TagList>\
             </ListTagsForResourceResult></ListTagsForResourceResponse>",
            field(body, "ResourceName").replace("%3A", ":")
        )),
        _ => Play::Raw("400 Bad Request", String::new(), Vec::new()),
    }
}

/// Lightsail, ECS and MSK, which use JSON.
pub(crate) fn json(request: &ReceivedRequest) -> Play {
    let target = request.headers.get("x-amz-target").map_or("", String::as_str);
    let answer = match (
        target.rsplit('.').next().unwrap_or_default(),
        request.target.split('?').next().unwrap_or_default(),
    ) {
        ("GetInstances", _) => LIGHTSAIL,
        ("ListClusters", _) => r#"{"clusterArns": ["arn:cl"]}"#,
        ("DescribeClusters", _) => {
            r#"{"clusters": [{"clusterArn": "arn:cl", "clusterName": "cl", "tags": [{"key": "c", "value": "1"}]}]}"#
        }
        ("ListServices", _) => r#"{"serviceArns": ["arn:sv"]}"#,
        ("ListTasks", _) if request.body.contains("nextToken") => r#"{"taskArns": ["arn:t2"]}"#,
        ("ListTasks", _) => r#"{"taskArns": ["arn:t1"], "nextToken": "N"}"#,
        ("DescribeServices", _) => {
            r#"{"services": [{"serviceArn": "arn:sv", "serviceName": "web", "status": "ACTIVE", "tags": [{"key": "s", "value": "2"}]}]}"#
        }
        ("DescribeTasks", _) => {
            r#"{"tasks": [{"taskArn": "arn:t1", "taskDefinitionArn": "td", "group": "service:web", "availabilityZone": "z", "launchType": "FARGATE",
             "desiredStatus": "RUNNING", "lastStatus": "RUNNING", "healthStatus": "HEALTHY", "platformFamily": "Linux", "platformVersion": "1.4",
             "attachments": [{"type": "ElasticNetworkInterface", "details": [{"name": "privateIPv4Address", "value": "10.1.0.1"},
               {"name": "subnetId", "value": "sn"}, {"name": "networkInterfaceId", "value": "eni-1"}]}], "tags": [{"key": "t", "value": "3"}]},
             {"taskArn": "arn:t2", "group": "family:x", "launchType": "EC2", "containerInstanceArn": "arn:ci"},
             {"taskArn": "arn:t3", "group": "family:x"}]}"#
        }
        ("DescribeContainerInstances", _) => {
            r#"{"containerInstances": [{"containerInstanceArn": "arn:ci", "ec2InstanceId": "i-1"}]}"#
        }
        (_, "/api/v2/clusters") => {
            r#"{"clusterInfoList": [{"clusterArn": "arn:aws:kafka:c/1", "clusterName": "k", "state": "ACTIVE", "clusterType": "PROVISIONED", "currentVersion": "K3",
             "tags": {"a b": "c"}, "provisioned": {"currentBrokerSoftwareInfo": {"kafkaVersion": "3.5", "configurationRevision": 2},
             "openMonitoring": {"prometheus": {"jmxExporter": {"enabledInBroker": true}, "nodeExporter": {"enabledInBroker": false}}}}}]}"#
        }
        (_, "/v1/clusters/arn%3Aaws%3Akafka%3Ac%2F1/nodes") => {
            r#"{"nodeInfoList": [{"nodeARN": "arn:n1", "addedToClusterTime": "2024", "instanceType": "m5", "brokerNodeInfo": {"attachedENIId": "eni",
             "brokerId": 1.0, "clientSubnet": "sn", "clientVpcIpAddress": "10.0.0.9", "endpoints": ["b-1.kafka", "b-1b.kafka"]}},
             {"nodeARN": "arn:n2", "controllerNodeInfo": {"endpoints": ["c-1.kafka"]}}, {"nodeARN": "arn:n3"}]}"#
        }
        _ => {
            let headers = "x-amzn-ErrorType: AccessDeniedException:http://x\r\n".to_owned();
            return Play::Raw(
                "400 Bad Request",
                headers,
                br#"{"__type": "a#AccessDeniedException", "message": "not you"}"#.to_vec(),
            );
        }
    };
    Play::Json(answer.to_owned())
}

pub(crate) fn section(key: &str, address: &str, more: &str) -> String {
    format!(
        "{key}: [{{region: us-east-1, endpoint: 'http://{address}', access_key: AK, secret_key: SK, refresh_interval: 1s{more}}}]"
    )
}

const EC2: [&str; 2] = [
    "10.0.0.1:80 __meta_ec2_ami=ami __meta_ec2_architecture=x86_64 __meta_ec2_availability_zone=z-a \
     __meta_ec2_availability_zone_id=id-1 __meta_ec2_default_ipv6_address=fd00::2 __meta_ec2_instance_id=i-1 \
     __meta_ec2_instance_lifecycle=spot __meta_ec2_instance_state=running __meta_ec2_instance_type=t3 \
     __meta_ec2_ipv6_addresses=,fd00::1,fd00::2, __meta_ec2_owner_id=own __meta_ec2_platform=windows \
     __meta_ec2_primary_ipv6_addresses=,,,fd00::2, __meta_ec2_primary_subnet_id=sn1 __meta_ec2_private_dns_name=p.dns \
     __meta_ec2_private_ip=10.0.0.1 __meta_ec2_public_dns_name=pub.dns __meta_ec2_public_ip=1.2.3.4 \
     __meta_ec2_region=us-east-1 __meta_ec2_subnet_id=,sn1,sn2, __meta_ec2_tag_Name_x=web __meta_ec2_vpc_id=vpc",
    "10.0.0.2:80 __meta_ec2_ami=ami __meta_ec2_availability_zone=z-b __meta_ec2_instance_id=i-2 \
     __meta_ec2_instance_state=stopped __meta_ec2_instance_type=t2 __meta_ec2_owner_id=own \
     __meta_ec2_private_ip=10.0.0.2 __meta_ec2_region=us-east-1",
];

#[tokio::test]
async fn ec2_instances_are_read_page_by_page() {
    let server = PlayedServer::start(query).await;
    let bed = TestBed::new(&section(
        "ec2_sd_configs",
        &server.address,
        ", filters: [{name: 'tag:x', values: [a, b]}]",
    ));
    assert_eq!(bed.targets(2).await, EC2);
    let bodies: Vec<String> =
        server.requests.lock().expect("a test").iter().map(|request| request.body.clone()).collect();
    let filters = "Filter.1.Name=tag%3Ax&Filter.1.Value.1=a&Filter.1.Value.2=b";
    assert_eq!(bodies[0], "Action=DescribeAvailabilityZones&Version=2016-11-15");
    assert_eq!(bodies[1], format!("Action=DescribeInstances&Version=2016-11-15&{filters}"));
    assert_eq!(bodies[2], format!("Action=DescribeInstances&Version=2016-11-15&{filters}&NextToken=T%3D1"));
    let bed = TestBed::new(&section("aws_sd_configs", &server.address, ", role: ec2"));
    assert_eq!(bed.targets(2).await, EC2);
}

#[tokio::test]
async fn lightsail_instances_are_read() {
    let server = PlayedServer::start(json).await;
    for section in [
        section("lightsail_sd_configs", &server.address, ", port: 9100"),
        section("aws_sd_configs", &server.address, ", role: lightsail, port: 9100"),
    ] {
        assert_eq!(
            TestBed::new(&section).targets(1).await,
            [
                "172.26.0.1:9100 __meta_lightsail_availability_zone=us-east-1a __meta_lightsail_blueprint_id=wp \
              __meta_lightsail_bundle_id=nano __meta_lightsail_instance_name=ls __meta_lightsail_instance_state=running \
              __meta_lightsail_instance_support_code=s/1 __meta_lightsail_ipv6_addresses=,fd00::5, \
              __meta_lightsail_private_ip=172.26.0.1 __meta_lightsail_public_ip=3.3.3.3 \
              __meta_lightsail_region=us-east-1 __meta_lightsail_tag_k_1=v"
            ]
        );
    }
}

#[tokio::test]
async fn ecs_tasks_are_read_with_their_instances_and_network_cards() {
    let (server, ec2) = (PlayedServer::start(json).await, PlayedServer::start(query).await);
    let services = [("https://ec2.us-east-1.amazonaws.com", ec2.address.as_str())];
    let cluster = "__meta_ecs_cluster=cl __meta_ecs_cluster_arn=arn:cl";
    for key in ["ecs_sd_configs", "aws_sd_configs"] {
        let role = if key == "ecs_sd_configs" { "" } else { ", role: ecs" };
        let bed = TestBed::with_services(&section(key, &server.address, role), &services);
        assert_eq!(
            bed.targets(2).await,
            [
                format!(
                    "10.0.0.1:80 {cluster} __meta_ecs_container_instance_arn=arn:ci __meta_ecs_ec2_instance_id=i-1 \
                     __meta_ecs_ec2_instance_private_ip=10.0.0.1 __meta_ecs_ec2_instance_public_ip=1.2.3.4 \
                     __meta_ecs_ec2_instance_type=t3 __meta_ecs_ip_address=10.0.0.1 __meta_ecs_launch_type=EC2 \
                     __meta_ecs_network_mode=bridge __meta_ecs_public_ip=1.2.3.4 __meta_ecs_region=us-east-1 \
                     __meta_ecs_subnet_id=sn1 __meta_ecs_tag_cluster_c=1 __meta_ecs_tag_ec2_Name_x=web \
                     __meta_ecs_task_arn=arn:t2 __meta_ecs_task_group=family:x"
                ),
                format!(
                    "10.1.0.1:80 __meta_ecs_availability_zone=z {cluster} __meta_ecs_desired_status=RUNNING \
                     __meta_ecs_health_status=HEALTHY __meta_ecs_ip_address=10.1.0.1 __meta_ecs_last_status=RUNNING \
                     __meta_ecs_launch_type=FARGATE __meta_ecs_network_mode=awsvpc __meta_ecs_platform_family=Linux \
                     __meta_ecs_platform_version=1.4 __meta_ecs_public_ip=5.5.5.5 __meta_ecs_region=us-east-1 \
                     __meta_ecs_service=web __meta_ecs_service_arn=arn:sv __meta_ecs_service_status=ACTIVE \
                     __meta_ecs_subnet_id=sn __meta_ecs_tag_cluster_c=1 __meta_ecs_tag_service_s=2 \
                     __meta_ecs_tag_task_t=3 __meta_ecs_task_arn=arn:t1 __meta_ecs_task_definition=td \
                     __meta_ecs_task_group=service:web"
                )
            ]
        );
    }
}

#[tokio::test]
async fn msk_brokers_and_controllers_are_read() {
    let server = PlayedServer::start(json).await;
    let shared = "__meta_msk_cluster_arn=arn:aws:kafka:c/1 __meta_msk_cluster_configuration_revision=2 \
        __meta_msk_cluster_jmx_exporter_enabled=true __meta_msk_cluster_kafka_version=3.5 __meta_msk_cluster_name=k \
        __meta_msk_cluster_state=ACTIVE __meta_msk_cluster_tag_a_b=c __meta_msk_cluster_type=PROVISIONED \
        __meta_msk_cluster_version=K3";
    let broker = |endpoint: &str, index: usize| {
        format!(
            "{endpoint}:11001 __meta_msk_broker_client_subnet=sn __meta_msk_broker_client_vpc_ip=10.0.0.9 \
             __meta_msk_broker_endpoint_index={index} __meta_msk_broker_id=1 \
             __meta_msk_broker_node_exporter_enabled=false {shared} __meta_msk_node_added_time=2024 \
             __meta_msk_node_arn=arn:n1 __meta_msk_node_attached_eni=eni __meta_msk_node_instance_type=m5 \
             __meta_msk_node_type=BROKER"
        )
    };
    let controller = format!(
        "c-1.kafka:11001 {} __meta_msk_controller_endpoint_index=0 __meta_msk_node_arn=arn:n2 __meta_msk_node_type=CONTROLLER",
        shared
    );
    for (key, role) in [("msk_sd_configs", ""), ("aws_sd_configs", ", role: msk")] {
        let bed = TestBed::new(&section(key, &server.address, &format!("{role}, port: 11001")));
        assert_eq!(
            bed.targets(3).await,
            [broker("b-1.kafka", 0), broker("b-1b.kafka", 1), controller.clone()]
        );
    }
}

#[tokio::test]
async fn databases_and_caches_are_read() {
    let server = PlayedServer::start(query).await;
    let bed = TestBed::new(&section("rds_sd_configs", &server.address, ", port: 9187"));
    let database = "d1.rds:9187 __meta_rds_cluster_arn=arn:c __meta_rds_cluster_cluster_create_time=2024-01-02T03:04:05Z \
        __meta_rds_cluster_engine=aurora __meta_rds_cluster_identifier=c __meta_rds_cluster_multi_az=true \
        __meta_rds_cluster_port=5432 __meta_rds_cluster_tag_a_b=v __meta_rds_instance_arn=arn:d \
        __meta_rds_instance_class=db.t3 __meta_rds_instance_endpoint_address=d1.rds \
        __meta_rds_instance_endpoint_hosted_zone_id=Z __meta_rds_instance_endpoint_port=5432 \
        __meta_rds_instance_identifier=d1 __meta_rds_instance_is_cluster_writer=true";
    assert_eq!(bed.targets(1).await, [database]);
    let bed = TestBed::new(&section("elasticache_sd_configs", &server.address, ""));
    assert_eq!(
        bed.targets(2).await,
        [
            "k.cache:6380 __meta_elasticache_cache_cluster_arn=arn:k __meta_elasticache_cache_cluster_cache_cluster_id=k \
             __meta_elasticache_cache_cluster_engine=redis \
             __meta_elasticache_cache_cluster_node_create_time=2024-01-02T03:04:05Z \
             __meta_elasticache_cache_cluster_node_endpoint_address=k.cache \
             __meta_elasticache_cache_cluster_node_endpoint_port=6380 __meta_elasticache_cache_cluster_node_id=0001 \
             __meta_elasticache_cache_cluster_security_group_membership_id_0=sg-2 \
             __meta_elasticache_cache_cluster_security_group_membership_status_0=active \
             __meta_elasticache_cache_cluster_tag_of=arn:k __meta_elasticache_deployment_option=node",
            "sc.cache:6379 __meta_elasticache_deployment_option=serverless __meta_elasticache_serverless_cache_arn=arn:s \
             __meta_elasticache_serverless_cache_cache_usage_limit_data_storagemaximum=10 \
             __meta_elasticache_serverless_cache_cache_usage_limit_data_storageunit=GB \
             __meta_elasticache_serverless_cache_endpoint_address=sc.cache \
             __meta_elasticache_serverless_cache_endpoint_port=6379 __meta_elasticache_serverless_cache_name=sc \
             __meta_elasticache_serverless_cache_security_group_id_0=sg-1 \
             __meta_elasticache_serverless_cache_status=available __meta_elasticache_serverless_cache_tag_of=arn:s"
        ]
    );
}
