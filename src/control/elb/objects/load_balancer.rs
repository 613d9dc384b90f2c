//! A load balancer: an address, and what stands at it. It has no table of its own.

use crate::control::elb::fields::ADMIN_STATE_UP;
use crate::control::elb::fields::DESCRIPTION;
use crate::control::elb::fields::ENTERPRISE_PROJECT;
use crate::control::elb::fields::ElbField;
use crate::control::elb::fields::ElbForm;
use crate::control::elb::fields::ElbPresence;
use crate::control::elb::fields::NAME;
use crate::control::elb::fields::TAGS;
use crate::control::elb::fields::field;
use crate::control::elb::fields::fixed;
use crate::control::elb::fields::refused;

const NO_PUBLIC_IP: &str = "is not taken: Ringway gives no public addresses; write `vip_address`";
const NO_BILLING: &str = "is not taken: Ringway sends no bills";

pub(in crate::control::elb) const FIELDS: &[ElbField] = &[
    NAME,
    DESCRIPTION,
    ADMIN_STATE_UP,
    ENTERPRISE_PROJECT,
    TAGS,
    fixed("availability_zone_list", ElbForm::Texts, ElbPresence::Required),
    field("vip_address", ElbForm::Address, ElbPresence::Nullable),
    field("ipv6_vip_address", ElbForm::Address, ElbPresence::Nullable),
    field("vip_subnet_cidr_id", ElbForm::Text, ElbPresence::Nullable),
    field("ipv6_vip_virsubnet_id", ElbForm::Text, ElbPresence::Nullable),
    fixed("vpc_id", ElbForm::Text, ElbPresence::Nullable),
    field("l4_flavor_id", ElbForm::Text, ElbPresence::Nullable),
    field("l7_flavor_id", ElbForm::Text, ElbPresence::Nullable),
    field("elb_virsubnet_ids", ElbForm::Texts, ElbPresence::Default("[]")),
    field("ip_target_enable", ElbForm::Truth, ElbPresence::Default("false")),
    field("deletion_protection_enable", ElbForm::Truth, ElbPresence::Default("false")),
    fixed("provider", ElbForm::Word(&["vlb"]), ElbPresence::Default("\"vlb\"")),
    fixed("guaranteed", ElbForm::Truth, ElbPresence::Default("true")),
    field("waf_failure_action", ElbForm::Word(&["discard", "forward"]), ElbPresence::Default("\"forward\"")),
    field("protection_status", ElbForm::Word(PROTECTION), ElbPresence::Default("\"nonProtection\"")),
    field("protection_reason", ElbForm::Text, ElbPresence::Nullable),
    refused("publicip", NO_PUBLIC_IP),
    refused("publicip_ids", NO_PUBLIC_IP),
    refused("ipv6_bandwidth", NO_PUBLIC_IP),
    refused("prepaid_options", NO_BILLING),
    refused("billing_info", NO_BILLING),
    refused("charge_mode", NO_BILLING),
    refused("autoscaling", "is not taken: the size of this host is what it is"),
];

/// Whether the console of the cloud lets it be changed, which is kept and given back.
pub(in crate::control::elb) const PROTECTION: &[&str] = &["nonProtection", "consoleProtection"];
