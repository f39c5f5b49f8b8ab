//! Tables of RDS and ElastiCache fields that become labels.
//!
//! On the left is the path to an element, with dots between the names; on the right is the label without its
//! prefix. Where an underscore seems to be missing in a label, Prometheus has none either.

use crate::group::Labels;
use crate::xml::Element;

/// Pairs of path and label.
pub(super) type Table = &'static [(&'static str, &'static str)];

/// Sets the labels of a table; missing or empty elements set none.
pub(super) fn set(labels: &mut Labels, prefix: &str, of: &Element, table: Table) {
    for (path, label) in table {
        let path: Vec<&str> = path.split('.').collect();
        labels.set(&format!("{prefix}{label}"), of.text_at(&path));
    }
}

/// Sets labels with times, which are shown without fractions of a second.
pub(super) fn set_times(labels: &mut Labels, prefix: &str, of: &Element, table: Table) {
    for (path, label) in table {
        let time = ferula_go::calendar::parse_rfc3339(of.text_at(&[path]));
        let shown = time
            .and_then(|(seconds, _)| seconds.checked_mul(1_000_000_000))
            .map(|nanos| ferula_go::calendar::format(nanos, "2006-01-02T15:04:05") + "Z");
        labels.set(&format!("{prefix}{label}"), shown.unwrap_or_default());
    }
}

/// A `DBCluster`.
pub(super) const RDS_CLUSTER: Table = &[
    ("DBClusterArn", "arn"),
    ("DBClusterIdentifier", "identifier"),
    ("ActivityStreamKinesisStreamName", "activity_stream_kinesis_stream_name"),
    ("ActivityStreamKmsKeyId", "activity_stream_kms_key_id"),
    ("ActivityStreamMode", "activity_stream_mode"),
    ("ActivityStreamStatus", "activity_stream_status"),
    ("AllocatedStorage", "allocated_storage"),
    ("AutoMinorVersionUpgrade", "auto_minor_version_upgrade"),
    ("AwsBackupRecoveryPointArn", "aws_backup_recovery_point_arn"),
    ("BacktrackConsumedChangeRecords", "backtrack_consumed_change_records"),
    ("BacktrackWindow", "backtrack_window"),
    ("BackupRetentionPeriod", "backup_retention_period"),
    ("Capacity", "capacity"),
    ("CharacterSetName", "character_set_name"),
    ("CloneGroupId", "clone_group_id"),
    ("ClusterScalabilityType", "cluster_scalability_type"),
    ("CopyTagsToSnapshot", "copy_tags_to_snapshot"),
    ("CrossAccountClone", "cross_account_clone"),
    ("DBClusterInstanceClass", "instance_class"),
    ("DBClusterParameterGroup", "parameter_group"),
    ("DBSubnetGroup", "subnet_group"),
    ("DBSystemId", "db_system_id"),
    ("DatabaseInsightsMode", "database_insights_mode"),
    ("DatabaseName", "database_name"),
    ("DbClusterResourceId", "resource_id"),
    ("DeletionProtection", "deletion_protection"),
    ("Endpoint", "endpoint"),
    ("Engine", "engine"),
    ("EngineLifecycleSupport", "engine_lifecycle_support"),
    ("EngineMode", "engine_mode"),
    ("EngineVersion", "engine_version"),
    ("GlobalClusterIdentifier", "global_cluster_identifier"),
    ("GlobalWriteForwardingRequested", "global_write_forwarding_requested"),
    ("GlobalWriteForwardingStatus", "global_write_forwarding_status"),
    ("HostedZoneId", "hosted_zone_id"),
    ("HttpEndpointEnabled", "http_endpoint_enabled"),
    ("IAMDatabaseAuthenticationEnabled", "iam_database_authentication_enabled"),
    ("Iops", "iops"),
    ("KmsKeyId", "kms_key_id"),
    ("LocalWriteForwardingStatus", "local_write_forwarding_status"),
    ("MasterUsername", "master_username"),
    ("MonitoringInterval", "monitoring_interval"),
    ("MonitoringRoleArn", "monitoring_role_arn"),
    ("MultiAZ", "multi_az"),
    ("NetworkType", "network_type"),
    ("PercentProgress", "percent_progress"),
    ("PerformanceInsightsEnabled", "performance_insights_enabled"),
    ("PerformanceInsightsKMSKeyId", "performance_insights_kms_key_id"),
    ("PerformanceInsightsRetentionPeriod", "performance_insights_retention_period"),
    ("Port", "port"),
    ("PreferredBackupWindow", "preferred_backup_window"),
    ("PreferredMaintenanceWindow", "preferred_maintenance_window"),
    ("PubliclyAccessible", "publicly_accessible"),
    ("ReaderEndpoint", "reader_endpoint"),
    ("ReplicationSourceIdentifier", "replication_source_identifier"),
    ("ServerlessV2PlatformVersion", "serverless_v2_platform_version"),
    ("Status", "status"),
    ("StorageEncrypted", "storage_encrypted"),
    ("StorageEncryptionType", "storage_encryption_type"),
    ("StorageThroughput", "storage_throughput"),
    ("StorageType", "storage_type"),
    ("UpgradeRolloutOrder", "upgrade_rollout_order"),
];

/// Times of a `DBCluster`.
pub(super) const RDS_CLUSTER_TIMES: Table = &[
    ("AutomaticRestartTime", "automatic_restart_time"),
    ("ClusterCreateTime", "cluster_create_time"),
    ("EarliestBacktrackTime", "earliest_backtrack_time"),
    ("EarliestRestorableTime", "earliest_restorable_time"),
    ("IOOptimizedNextAllowedModificationTime", "io_optimized_next_allowed_modification_time"),
    ("LatestRestorableTime", "latest_restorable_time"),
];

/// A `DBInstance`.
pub(super) const RDS_INSTANCE: Table = &[
    ("DBInstanceArn", "arn"),
    ("DBInstanceIdentifier", "identifier"),
    ("ActivityStreamEngineNativeAuditFieldsIncluded", "activity_stream_engine_native_audit_fields_included"),
    ("ActivityStreamKinesisStreamName", "activity_stream_kinesis_stream_name"),
    ("ActivityStreamKmsKeyId", "activity_stream_kms_key_id"),
    ("ActivityStreamMode", "activity_stream_mode"),
    ("ActivityStreamPolicyStatus", "activity_stream_policy_status"),
    ("ActivityStreamStatus", "activity_stream_status"),
    ("AllocatedStorage", "allocated_storage"),
    ("AutoMinorVersionUpgrade", "auto_minor_version_upgrade"),
    ("AutomationMode", "automation_mode"),
    ("AvailabilityZone", "availability_zone"),
    ("AwsBackupRecoveryPointArn", "aws_backup_recovery_point_arn"),
    ("BackupRetentionPeriod", "backup_retention_period"),
    ("BackupTarget", "backup_target"),
    ("CACertificateIdentifier", "ca_certificate_identifier"),
    ("CharacterSetName", "character_set_name"),
    ("CopyTagsToSnapshot", "copy_tags_to_snapshot"),
    ("CustomIamInstanceProfile", "custom_iam_instance_profile"),
    ("CustomerOwnedIpEnabled", "customer_owned_ip_enabled"),
    ("DBClusterIdentifier", "db_cluster_identifier"),
    ("DBInstanceClass", "class"),
    ("DBInstanceStatus", "status"),
    ("DBName", "db_name"),
    ("DbInstancePort", "port"),
    ("DbiResourceId", "resource_id"),
    ("DedicatedLogVolume", "dedicated_log_volume"),
    ("DeletionProtection", "deletion_protection"),
    ("Endpoint.Address", "endpoint_address"),
    ("Endpoint.HostedZoneId", "endpoint_hosted_zone_id"),
    ("Endpoint.Port", "endpoint_port"),
    ("Engine", "engine"),
    ("EngineLifecycleSupport", "engine_lifecycle_support"),
    ("EngineVersion", "engine_version"),
    ("EnhancedMonitoringResourceArn", "enhanced_monitoring_resource_arn"),
    ("IAMDatabaseAuthenticationEnabled", "iam_database_authentication_enabled"),
    ("Iops", "iops"),
    ("IsStorageConfigUpgradeAvailable", "is_storage_config_upgrade_available"),
    ("KmsKeyId", "kms_key_id"),
    ("LicenseModel", "license_model"),
    ("ListenerEndpoint.Address", "listener_endpoint_address"),
    ("ListenerEndpoint.HostedZoneId", "listener_endpoint_hosted_zone_id"),
    ("ListenerEndpoint.Port", "listener_endpoint_port"),
    ("MasterUsername", "master_username"),
    ("MaxAllocatedStorage", "max_allocated_storage"),
    ("MonitoringInterval", "monitoring_interval"),
    ("MonitoringRoleArn", "monitoring_role_arn"),
    ("MultiAZ", "multi_az"),
    ("MultiTenant", "multi_tenant"),
    ("NcharCharacterSetName", "nchar_character_set_name"),
    ("NetworkType", "network_type"),
    ("PercentProgress", "percent_progress"),
    ("PerformanceInsightsEnabled", "performance_insights_enabled"),
    ("PerformanceInsightsKMSKeyId", "performance_insights_kms_key_id"),
    ("PerformanceInsightsRetentionPeriod", "performance_insights_retention_period"),
    ("PreferredBackupWindow", "preferred_backup_window"),
    ("PreferredMaintenanceWindow", "preferred_maintenance_window"),
    ("PromotionTier", "promotion_tier"),
    ("PubliclyAccessible", "publicly_accessible"),
    ("ReadReplicaSourceDBClusterIdentifier", "read_replica_source_db_cluster_identifier"),
    ("ReadReplicaSourceDBInstanceIdentifier", "read_replica_source_db_instance_identifier"),
    ("ReplicaMode", "replica_mode"),
    ("SecondaryAvailabilityZone", "secondary_availability_zone"),
    ("StorageEncrypted", "storage_encrypted"),
    ("StorageEncryptionType", "storage_encryption_type"),
    ("StorageThroughput", "storage_throughput"),
    ("StorageType", "storage_type"),
    ("StorageVolumeStatus", "storage_volume_status"),
    ("TdeCredentialArn", "tde_credential_arn"),
    ("Timezone", "timezone"),
    ("UpgradeRolloutOrder", "upgrade_rollout_order"),
    ("DBSubnetGroup.DBSubnetGroupName", "subnet_group"),
    ("DBSystemId", "db_system_id"),
    ("DatabaseInsightsMode", "database_insights_mode"),
];

/// Times of a `DBInstance`.
pub(super) const RDS_INSTANCE_TIMES: Table = &[
    ("AutomaticRestartTime", "automatic_restart_time"),
    ("InstanceCreateTime", "instance_create_time"),
    ("LatestRestorableTime", "latest_restorable_time"),
    ("ResumeFullAutomationModeTime", "resume_full_automation_mode_time"),
];

/// A `CacheCluster`.
pub(super) const CACHE_CLUSTER: Table = &[
    ("ARN", "arn"),
    ("CacheClusterId", "cache_cluster_id"),
    ("CacheClusterStatus", "cache_cluster_status"),
    ("AtRestEncryptionEnabled", "at_rest_encryption_enabled"),
    ("AuthTokenEnabled", "auth_token_enabled"),
    ("AutoMinorVersionUpgrade", "auto_minor_version_upgrade"),
    ("CacheNodeType", "cache_node_type"),
    ("CacheParameterGroup.CacheParameterGroupName", "cache_parameter_group"),
    ("CacheSubnetGroupName", "cache_subnet_group_name"),
    ("ClientDownloadLandingPage", "client_download_landing_page"),
    ("ConfigurationEndpoint.Address", "configuration_endpoint_address"),
    ("ConfigurationEndpoint.Port", "configuration_endpoint_port"),
    ("Engine", "engine"),
    ("EngineVersion", "engine_version"),
    ("IpDiscovery", "ip_discovery"),
    ("NetworkType", "network_type"),
    ("NotificationConfiguration.TopicArn", "notification_topic_arn"),
    ("NotificationConfiguration.TopicStatus", "notification_topic_status"),
    ("NumCacheNodes", "num_cache_nodes"),
    ("PreferredAvailabilityZone", "preferred_availability_zone"),
    ("PreferredMaintenanceWindow", "preferred_maintenance_window"),
    ("PreferredOutpostArn", "preferred_outpost_arn"),
    ("ReplicationGroupId", "replication_group_id"),
    ("ReplicationGroupLogDeliveryEnabled", "replication_group_log_delivery_enabled"),
    ("SnapshotRetentionLimit", "snapshot_retention_limit"),
    ("SnapshotWindow", "snapshot_window"),
    ("TransitEncryptionEnabled", "transit_encryption_enabled"),
    ("TransitEncryptionMode", "transit_encryption_mode"),
    ("PendingModifiedValues.AuthTokenStatus", "pending_modified_values_auth_token_status"),
    ("PendingModifiedValues.CacheNodeType", "pending_modified_values_cache_node_type"),
    ("PendingModifiedValues.EngineVersion", "pending_modified_values_engine_version"),
    ("PendingModifiedValues.NumCacheNodes", "pending_modified_values_num_cache_nodes"),
    ("PendingModifiedValues.TransitEncryptionEnabled", "pending_modified_values_transit_encryption_enabled"),
    ("PendingModifiedValues.TransitEncryptionMode", "pending_modified_values_transit_encryption_mode"),
];

/// Times of a `CacheCluster`.
pub(super) const CACHE_CLUSTER_TIMES: Table = &[
    ("AuthTokenLastModifiedDate", "auth_token_last_modified"),
    ("CacheClusterCreateTime", "cache_cluster_create_time"),
];

/// A `CacheNode`.
pub(super) const CACHE_NODE: Table = &[
    ("CacheNodeId", "id"),
    ("CacheNodeStatus", "status"),
    ("CustomerAvailabilityZone", "availability_zone"),
    ("CustomerOutpostArn", "customer_outpost_arn"),
    ("SourceCacheNodeId", "source_cache_node_id"),
    ("ParameterGroupStatus", "parameter_group_status"),
    ("Endpoint.Address", "endpoint_address"),
    ("Endpoint.Port", "endpoint_port"),
];

/// Times of a `CacheNode`.
pub(super) const CACHE_NODE_TIMES: Table = &[("CacheNodeCreateTime", "create_time")];

/// A `ServerlessCache`.
pub(super) const SERVERLESS: Table = &[
    ("ARN", "arn"),
    ("ServerlessCacheName", "name"),
    ("Status", "status"),
    ("Engine", "engine"),
    ("FullEngineVersion", "full_engine_version"),
    ("MajorEngineVersion", "major_engine_version"),
    ("Description", "description"),
    ("KmsKeyId", "kms_key_id"),
    ("UserGroupId", "user_group_id"),
    ("DailySnapshotTime", "daily_snapshot_time"),
    ("SnapshotRetentionLimit", "snapshot_retention_limit"),
    ("Endpoint.Address", "endpoint_address"),
    ("Endpoint.Port", "endpoint_port"),
    ("ReaderEndpoint.Address", "endpoint_reader_address"),
    ("ReaderEndpoint.Port", "endpoint_reader_port"),
    ("CacheUsageLimits.DataStorage.Maximum", "cache_usage_limit_data_storagemaximum"),
    ("CacheUsageLimits.DataStorage.Minimum", "cache_usage_limit_data_storageminimum"),
    ("CacheUsageLimits.DataStorage.Unit", "cache_usage_limit_data_storageunit"),
    ("CacheUsageLimits.ECPUPerSecond.Maximum", "cache_usage_limit_ecpu_per_secondmaximum"),
    ("CacheUsageLimits.ECPUPerSecond.Minimum", "cache_usage_limit_ecpu_per_secondminimum"),
];

/// Times of a `ServerlessCache`.
pub(super) const SERVERLESS_TIMES: Table = &[("CreateTime", "create_time")];
