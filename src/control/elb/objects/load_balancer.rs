//! A load balancer: an address, and what stands at it. It has no table of its own.

use crate::control::elb::fields::ADMIN_STATE_UP;
use crate::control::elb::fields::DESCRIPTION;
use crate::control::elb::fields::ENTERPRISE_PROJECT;
use crate::control::elb::fields::Field;
use crate::control::elb::fields::Form;
use crate::control::elb::fields::NAME;
use crate::control::elb::fields::Presence;
use crate::control::elb::fields::TAGS;
use crate::control::elb::fields::field;
use crate::control::elb::fields::fixed;
use crate::control::elb::fields::refused;

const NO_PUBLIC_IP: &str = "is not taken: Ringway gives no public addresses; write `vip_address`";
const NO_BILLING: &str = "is not taken: Ringway sends no bills";

pub(in crate::control::elb) const FIELDS: &[Field] = &[
    NAME,
    DESCRIPTION,
    ADMIN_STATE_UP,
    ENTERPRISE_PROJECT,
    TAGS,
    fixed("availability_zone_list", Form::Texts, Presence::Required),
    field("vip_address", Form::Address, Presence::Nullable),
    field("ipv6_vip_address", Form::Address, Presence::Nullable),
    field("vip_subnet_cidr_id", Form::Text, Presence::Nullable),
    field("ipv6_vip_virsubnet_id", Form::Text, Presence::Nullable),
    fixed("vpc_id", Form::Text, Presence::Nullable),
    field("l4_flavor_id", Form::Text, Presence::Nullable),
    field("l7_flavor_id", Form::Text, Presence::Nullable),
    field("elb_virsubnet_ids", Form::Texts, Presence::Default("[]")),
    field("ip_target_enable", Form::Truth, Presence::Default("false")),
    field("deletion_protection_enable", Form::Truth, Presence::Default("false")),
    fixed("provider", Form::Word(&["vlb"]), Presence::Default("\"vlb\"")),
    fixed("guaranteed", Form::Truth, Presence::Default("true")),
    field("waf_failure_action", Form::Word(&["discard", "forward"]), Presence::Default("\"forward\"")),
    field("protection_status", Form::Word(PROTECTION), Presence::Default("\"nonProtection\"")),
    field("protection_reason", Form::Text, Presence::Nullable),
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
