"""The SDK of ELB v3 as its vendor publishes it drives a Ringway through the procedures of the manuals: HTTPS to clients and to
backends with health checks, certificates of clients with headers of other names, forwarding policies, redirects and access lists. Each
step is followed by traffic that shows it.

usage: elb_sdk.py RINGWAY FOLDER    (started by scripts/outside_elb)

Prints `ok elb: CASE` or `FAILED elb: CASE: why` for each.
"""
import os
import re
import ssl
import sys

from huaweicloudsdkelb import v3

from elb_extended import copies, master_and_slave, other_origins
from elb_kit import WRITER, Elb, Site, free_port, refusal, same, says

failed = []


def tell(case, problem=None):
    failed.extend([case] if problem else [])
    print(f"ok elb: {case}" if problem is None else f"FAILED elb: {case}: {problem}", flush=True)


def signatures(site, elb):
    """Who is let in, and what for."""
    def listed(*key):
        return lambda: site.client(*key).list_load_balancers(v3.ListLoadBalancersRequest())
    says(refusal(listed("AKWRITE", "another-secret", "project1")), 401, "APIGW.0301")
    says(refusal(listed("AKNOBODY", "secret-of-writer", "project1")), 401, "APIGW.0301")
    says(refusal(listed("AKWRITE", "secret-of-writer", "project2")), 403, "ELB.8903")
    same(listed(*WRITER)().loadbalancers, [])
    reader = Elb(site.client("AKREAD", "secret-of-reader", "project1"))
    says(refusal(lambda: reader.create("loadbalancer", availability_zone_list=["ringway"])), 403, "ELB.8903", "read")
    balancer = elb.create("loadbalancer", availability_zone_list=["ringway"])
    other = site.client("AKOTHER", "secret-of-another", "project2")
    show = v3.ShowLoadBalancerRequest(loadbalancer_id=balancer.id)
    says(refusal(lambda: other.show_load_balancer(show)), 404, "ELB.8904")
    same(reader.client.show_load_balancer(show).loadbalancer.id, balancer.id)
    elb.client.delete_load_balancer(v3.DeleteLoadBalancerRequest(loadbalancer_id=balancer.id))


def before_anything(site, elb):
    """What scripts ask for before they make anything."""
    zones = elb.client.list_availability_zones(v3.ListAvailabilityZonesRequest()).availability_zones
    assert zones[0][0].code and elb.client.list_flavors(v3.ListFlavorsRequest()).flavors
    same(elb.client.show_quota(v3.ShowQuotaRequest()).quota.listener, 1000)
    says(refusal(lambda: elb.client.list_logtanks(v3.ListLogtanksRequest())), 404, "APIGW.0101")


class Secured:
    """HTTPS to clients and to backends, and what is made upon it."""

    def __init__(self, site, elb):
        self.site, self.elb, self.port = site, elb, free_port()
        self.balancer = elb.create("loadbalancer", name="lb", availability_zone_list=["ringway"], vip_address="127.0.0.1")
        self.backends = [site.backend("one", "site.example"), site.backend("two", "site.example")]
        self.pool = elb.create("pool", name="server_group", protocol="HTTPS", lb_algorithm="ROUND_ROBIN",
                               loadbalancer_id=self.balancer.id)
        self.members = [elb.member(self.pool, self.backends[0]), elb.member(self.pool, self.backends[1], weight=3)]
        self.certificate = elb.create("certificate", name="site", certificate=site.pem("site.example.crt"),
                                      private_key=site.pem("site.example.key"))
        self.listener = elb.create("listener", name="secure", protocol="HTTPS", protocol_port=self.port,
                                   loadbalancer_id=self.balancer.id, default_tls_container_ref=self.certificate.id,
                                   default_pool_id=self.pool.id,
                                   insert_headers=v3.ListenerInsertHeaders(x_forwarded_port=True))

    def get(self, **how):
        how = {"host": "site.example", "trusts": "site.example", **how}
        return self.site.get(self.port, **how)

    def member_statuses(self):
        return [member.operating_status for member in self.elb.tree(self.balancer).listeners[0].pools[0].members]


def https_at_both_sides(service):
    """Configuring HTTPS at the frontend and backend."""
    listener, certificate = service.listener, service.certificate
    same((listener.http2_enable, listener.tls_ciphers_policy), (False, "tls-1-2"))
    same([member.weight for member in service.members], [1, 3])
    same(certificate.certificate, service.site.pem("site.example.crt"))
    assert certificate.private_key is None and re.fullmatch("[0-9a-f]{32}", certificate.id), certificate
    same(certificate.subject_alternative_names, ["site.example"])
    same(sorted(service.get().name for _ in range(8)), ["one"] * 2 + ["two"] * 6)
    seen = service.get().seen
    same((seen["x-forwarded-port"], "x-forwarded-proto" in seen), (str(service.port), False))


def what_is_wrong(service):
    """Errors name what is wrong, and nothing changes."""
    site, elb = service.site, service.elb
    pem, key = site.pem("site.example.crt"), site.pem("other.example.key")
    says(refusal(lambda: elb.create("certificate", certificate=pem, private_key=key)), 400, "ELB.1011", "is not the key of")
    says(refusal(lambda: elb.create("certificate", certificate=pem)), 400, "ELB.8902", "`private_key`")
    says(refusal(lambda: elb.member(service.pool, service.backends[0])), 409, "ELB.8907")
    def listener(**more):
        more = {"protocol": "HTTP", "loadbalancer_id": service.balancer.id, **more}
        return lambda: elb.create("listener", **more)
    says(refusal(listener(protocol_port=service.port)), 409, "ELB.8907", "`protocol_port`")
    says(refusal(listener(protocol_port=site.web)), 409, "ELB.8907", "`protocol_port`")
    says(refusal(listener(protocol="HTTPS", protocol_port=free_port())), 400, "ELB.8902", "`default_tls_container_ref`")
    says(refusal(listener(protocol_port=free_port(), default_pool_id="nothing")), 400, "ELB.8902", "`default_pool_id`")
    headers = v3.ListenerInsertHeaders(x_forwarded_tls_protocol=True, x_forwarded_tls_protocol_alias="NOT GOOD")
    says(refusal(lambda: elb.update_listener(service.listener, insert_headers=headers)), 400, "ELB.8902", "`insert_headers`")
    same((service.get().status, site.get(site.web).text), (200, "hello"))


def health(service):
    """Members that fail their check get no requests, and the status tree tells."""
    elb, site = service.elb, service.site
    monitor = elb.create("healthmonitor", pool_id=service.pool.id, type="HTTPS", delay=1, timeout=1, max_retries=1,
                         max_retries_down=1, url_path="/health", expected_codes="200-204")
    same((monitor.http_method, monitor.max_retries_down), ("GET", 1))
    site.wait_until(lambda: service.member_statuses() == ["ONLINE", "ONLINE"], "members are not online")
    service.backends[0].health = 503
    site.wait_until(lambda: service.member_statuses() == ["OFFLINE", "ONLINE"], "the member is not offline")
    tree = elb.tree(service.balancer)
    same((tree.operating_status, tree.listeners[0].operating_status), ("DEGRADED", "DEGRADED"))
    request = v3.ShowMemberRequest(pool_id=service.pool.id, member_id=service.members[0].id)
    same(elb.client.show_member(request).member.reason.healthcheck_response, "503")
    same({service.get().name for _ in range(6)}, {"two"})
    service.backends[0].health = 200
    site.wait_until(lambda: service.member_statuses() == ["ONLINE", "ONLINE"], "the member is not back")
    elb.client.delete_health_monitor(v3.DeleteHealthMonitorRequest(healthmonitor_id=monitor.id))
    same(service.member_statuses(), ["NO_MONITOR", "NO_MONITOR"])


def names_of_sites(service):
    """One more certificate, for clients that ask for its name."""
    site, elb = service.site, service.elb
    other = elb.create("certificate", certificate=site.pem("other.example.crt"), private_key=site.pem("other.example.key"))
    elb.update_listener(service.listener, sni_container_refs=[other.id])
    same(service.get(host="other.example", trusts="other.example").status, 200)
    elb.update_listener(service.listener, sni_container_refs=[])
    elb.client.delete_certificate(v3.DeleteCertificateRequest(certificate_id=other.id))


def headers_of_the_balancer(service):
    """Backends learn of the load balancer, the certificate and the client's port and program."""
    service.elb.update_listener(service.listener, insert_headers=v3.ListenerInsertHeaders(
        x_forwarded_elb_ip=True, x_forwarded_elb_id=True, x_forwarded_for_port=True, x_forwarded_tls_certificate_id=True,
        x_forwarded_tls_ja3_enable=True, x_forwarded_tls_ja4_enable=True, x_forwarded_tls_ja4_alias="x-ja4"))
    seen = service.get(X_Forwarded_ELB_ID="forged").seen
    same((seen["x-forwarded-elb-ip"], seen["x-forwarded-elb-id"]), ("127.0.0.1", service.balancer.id))
    same(seen["x-forwarded-tls-certificate-id"], service.certificate.id)
    assert int(seen["x-forwarded-for-port"]) > 0 and re.fullmatch("[0-9a-f]{32}", seen["x-forwarded-tls-ja3"]), seen
    assert re.fullmatch("t1[23]d[0-9]{4}.._[0-9a-f]{12}_[0-9a-f]{12}", seen["x-ja4"]), seen


def client_certificates(service):
    """Obtaining client certificate information, in headers with names of their own."""
    site, elb = service.site, service.elb
    authority = elb.create("certificate", name="ca", type="client", certificate=site.pem("clients.crt"))
    headers = v3.ListenerInsertHeaders(
        x_forwarded_clientcert_subjectdn_enable=True, x_forwarded_clientcert_subjectdn_alias="x-subject",
        x_forwarded_clientcert_clientverify_enable=True, x_forwarded_clientcert_serialnumber_enable=True,
        x_forwarded_clientcert_fingerprint_enable=True, x_forwarded_tls_protocol=True)
    elb.update_listener(service.listener, client_ca_tls_container_ref=authority.id, insert_headers=headers)
    seen = service.get(shows="somebody", x_subject="CN=forged").seen
    same(seen["x-subject"].replace(" ", ""), "CN=somebody")
    same(seen["x-forwarded-clientcert-clientverify"], "SUCCESS")
    assert re.fullmatch("[0-9A-Fa-f]+", seen["x-forwarded-clientcert-serialnumber"]), seen
    assert seen["x-forwarded-tls-protocol"].startswith("TLSv1."), seen
    assert site.is_refused(service.port, host="site.example", trusts="site.example"), "no certificate is needed"
    stranger = {"host": "site.example", "trusts": "site.example", "shows": "other.example"}
    assert site.is_refused(service.port, **stranger), "any certificate is taken"
    delete = v3.DeleteCertificateRequest(certificate_id=authority.id)
    says(refusal(lambda: elb.client.delete_certificate(delete)), 409, "ELB.8907")
    elb.clear(service.listener, "client_ca_tls_container_ref")
    same(service.get().status, 200)
    elb.client.delete_certificate(delete)


def security_policies(service):
    """Versions and cipher suites of TLS by a policy of one's own."""
    site, client = service.site, service.elb.client
    def versions():
        return [site.speaks(service.port, version, "site.example") for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)]
    same(versions(), [True, False])
    system = client.list_system_security_policies(v3.ListSystemSecurityPoliciesRequest()).system_security_policies
    same((len(system), next(one.protocols for one in system if one.name == "tls-1-2-fs-with-1-3")), (10, "TLSv1.2 TLSv1.3"))
    policy = service.elb.create("security_policy", name="newest", protocols=["TLSv1.3"], ciphers=["TLS_AES_128_GCM_SHA256"])
    service.elb.update_listener(service.listener, security_policy_id=policy.id)
    same(versions(), [False, True])
    show = v3.ShowSecurityPolicyRequest(security_policy_id=policy.id)
    same([one.id for one in client.show_security_policy(show).security_policy.listeners], [service.listener.id])
    def change(**attributes):
        body = v3.UpdateSecurityPolicyRequestBody(security_policy=v3.UpdateSecurityPolicyOption(**attributes))
        return client.update_security_policy(v3.UpdateSecurityPolicyRequest(security_policy_id=policy.id, body=body))
    change(protocols=["TLSv1", "TLSv1.2"], ciphers=["ECDHE-ECDSA-AES128-GCM-SHA256", "AES128-SHA"])
    same(versions(), [True, False])
    says(refusal(lambda: change(protocols=["TLSv1.1"])), 400, "ELB.8902", "`protocols`")
    says(refusal(lambda: change(ciphers=["AES128-SHA"])), 400, "ELB.8902", "`ciphers`")
    change(protocols=["TLSv1.2", "TLSv1.3"], ciphers=["ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_AES_256_GCM_SHA384"])
    same(versions(), [True, True])
    same([one.id for one in client.list_security_policies(v3.ListSecurityPoliciesRequest(name=["newest"])).security_policies],
         [policy.id])
    delete = v3.DeleteSecurityPolicyRequest(security_policy_id=policy.id)
    says(refusal(lambda: client.delete_security_policy(delete)), 409, "ELB.8907", "a listener")
    service.elb.clear(service.listener, "security_policy_id")
    same(versions(), [True, False])
    client.delete_security_policy(delete)


class Plain:
    """HTTP, and two groups that policies send requests to."""

    def __init__(self, service):
        self.site, self.elb, self.secured, self.port = service.site, service.elb, service, free_port()
        self.pools = {}
        for word in ("default", "api", "canary"):
            pool = self.elb.create("pool", protocol="HTTP", lb_algorithm="ROUND_ROBIN", loadbalancer_id=service.balancer.id)
            self.elb.member(pool, self.site.backend(word))
            self.pools[word] = pool
        self.listener = self.elb.create("listener", protocol="HTTP", protocol_port=self.port,
                                        loadbalancer_id=service.balancer.id, default_pool_id=self.pools["default"].id)

    def get(self, path="/", **headers):
        return self.site.get(self.port, path, **headers)

    def policy(self, **attributes):
        return self.elb.create("l7policy", listener_id=self.listener.id, **attributes)

    def delete(self, policy):
        self.elb.client.delete_l7_policy(v3.DeleteL7PolicyRequest(l7policy_id=policy.id))


def policies(plain):
    """Requests go to groups by host and path."""
    policy = plain.policy(action="REDIRECT_TO_POOL", redirect_pool_id=plain.pools["api"].id)
    same(plain.get("/api").name, "default")
    plain.elb.rule(policy, type="PATH", compare_type="STARTS_WITH", value="/api")
    plain.elb.rule(policy, type="HOST_NAME", compare_type="EQUAL_TO", value="*.example")
    same((plain.get("/api/x").name, plain.get("/").name, plain.get("/api", host="b.test").name), ("api", "default", "default"))
    tree = plain.elb.tree(plain.secured.balancer)
    node = next(node for node in tree.listeners if node.id == plain.listener.id)
    same(sorted(rule.type for rule in node.l7policies[0].rules), ["HOST_NAME", "PATH"])
    delete = v3.DeleteListenerRequest(listener_id=plain.listener.id)
    says(refusal(lambda: plain.elb.client.delete_listener(delete)), 409, "ELB.8907", "policies")
    plain.delete(policy)
    same(plain.get("/api").name, "default")


def advanced_policies(plain):
    """Conditions, priorities, fixed answers, redirects, weights and changes of requests."""
    elb = plain.elb
    elb.update_listener(plain.listener, enhance_l7policy_enable=True)
    conditions = [v3.CreateRuleCondition(key="x-canary", value="1"), v3.CreateRuleCondition(key="x-canary", value="b*")]
    by_header = v3.CreateL7PolicyRuleOption(type="HEADER", compare_type="EQUAL_TO", conditions=conditions)
    extend = v3.CreateRedirectPoolsExtendConfig(
        rewrite_url_enable=True, rewrite_url_config=v3.CreateRewriteUrlConfig(path="/v2${path}"),
        insert_headers_config=v3.CreateInsertHeadersConfig(configs=[
            v3.CreateInsertHeaderConfig(key="x-balancer", value_type="SYSTEM_DEFINED", value="ELB-ID")]))
    weights = [v3.CreateRedirectPoolsConfig(pool_id=plain.pools["canary"].id, weight="100"),
               v3.CreateRedirectPoolsConfig(pool_id=plain.pools["api"].id, weight="0")]
    canary = plain.policy(action="REDIRECT_TO_POOL", redirect_pools_config=weights, rules=[by_header],
                          redirect_pools_extend_config=extend)
    answer = plain.get("/x", X_Canary="beta")
    same((answer.name, answer.path, answer.seen["x-balancer"]), ("canary", "/v2/x", plain.secured.balancer.id))
    same(plain.get("/x", X_Canary="2").name, "default")
    closed = v3.CreateFixtedResponseConfig(status_code="403", content_type="text/plain", message_body="closed")
    everything = v3.CreateL7PolicyRuleOption(type="PATH", compare_type="STARTS_WITH", value="/")
    fixed = plain.policy(action="FIXED_RESPONSE", fixed_response_config=closed, rules=[everything])
    same((canary.priority, fixed.priority, plain.get("/", X_Canary="1").name), (1, 2, "canary"))
    same((plain.get("/").status, plain.get("/").text), (403, "closed"))
    places = [v3.BatchUpdatePriorityRequestBody(id=canary.id, priority=2), v3.BatchUpdatePriorityRequestBody(id=fixed.id, priority=1)]
    body = v3.BatchUpdatePoliciesPriorityRequestBody(l7policies=places)
    elb.client.batch_update_policies_priority(v3.BatchUpdatePoliciesPriorityRequest(body=body))
    same(plain.get("/", X_Canary="1").status, 403)
    plain.delete(fixed)
    url = v3.CreateRedirectUrlConfig(protocol="HTTPS", host="b.example", port="8443", path="/new/$1", status_code="308")
    moved = v3.CreateL7PolicyRuleOption(type="PATH", compare_type="REGEX", value="^/old/([0-9]+)$")
    moved = plain.policy(action="REDIRECT_TO_URL", redirect_url_config=url, rules=[moved])
    answer = plain.get("/old/42?x=1")
    same((answer.status, answer.headers["location"]), (308, "https://b.example:8443/new/42?x=1"))
    plain.delete(moved)
    plain.delete(canary)


def redirect_to_https(plain):
    """HTTP to HTTPS of the same load balancer."""
    policy = plain.policy(action="REDIRECT_TO_LISTENER", redirect_listener_id=plain.secured.listener.id)
    same(policy.priority, 0)
    answer = plain.get("/x?y", host="site.example")
    same((answer.status, answer.headers["location"]), (301, f"https://site.example:{plain.secured.port}/x?y"))
    delete = v3.DeleteListenerRequest(listener_id=plain.secured.listener.id)
    says(refusal(lambda: plain.elb.client.delete_listener(delete)), 409, "ELB.8907", "redirects to it")
    plain.delete(policy)
    same(plain.get().name, "default")


def access_lists(plain):
    """White lists and black lists, and addresses that come and go."""
    elb, client = plain.elb, plain.elb.client
    desks = v3.CreateIpGroupIpOption(ip="192.0.2.1-192.0.2.9", description="desks")
    group = elb.create("ipgroup", name="office", ip_list=[desks])
    option = v3.UpdateListenerIpGroupOption
    elb.update_listener(plain.listener, ipgroup=option(ipgroup_id=group.id, type="white"))
    assert plain.site.is_refused(plain.port), "a client that is on no white list is let in"
    loopback = v3.UpdateIpGroupIpOption(ip="127.0.0.0/8")
    body = v3.UpdateIpListRequestBody(ipgroup=v3.UpdateIpListOption(ip_list=[loopback]))
    client.update_ip_list(v3.UpdateIpListRequest(ipgroup_id=group.id, body=body))
    same(plain.get().status, 200)
    elb.update_listener(plain.listener, ipgroup=option(ipgroup_id=group.id, type="black"))
    assert plain.site.is_refused(plain.port), "a client on a black list is let in"
    elb.update_listener(plain.listener, ipgroup=option(ipgroup_id=group.id, type="black", enable_ipgroup=False))
    same(plain.get().status, 200)
    elb.update_listener(plain.listener, ipgroup=option(ipgroup_id=group.id, type="black", enable_ipgroup=True))
    body = v3.BatchDeleteIpListRequestBody(ipgroup=v3.BatchDeleteIpListOption(ip_list=[v3.IpGroupIp(ip="127.0.0.0/8")]))
    client.batch_delete_ip_list(v3.BatchDeleteIpListRequest(ipgroup_id=group.id, body=body))
    same(plain.get().status, 200)
    related = client.show_ip_group_related_listeners(v3.ShowIpGroupRelatedListenersRequest(ipgroup_id=group.id))
    same([one.id for one in related.listeners], [plain.listener.id])
    delete = v3.DeleteIpGroupRequest(ipgroup_id=group.id)
    says(refusal(lambda: client.delete_ip_group(delete)), 409, "ELB.8907")
    elb.clear(plain.listener, "ipgroup")
    client.delete_ip_group(delete)


def relayed(plain):
    """TCP, TLS with PROXY headers, and UDP."""
    elb, site, service = plain.elb, plain.site, plain.secured
    port, secured, datagrams = free_port(), free_port(), free_port()
    def pool(protocol, server_port):
        made = elb.create("pool", protocol=protocol, lb_algorithm="ROUND_ROBIN", loadbalancer_id=service.balancer.id)
        body = v3.CreateMemberRequestBody(member=v3.CreateMemberOption(address="127.0.0.1", protocol_port=server_port))
        elb.client.create_member(v3.CreateMemberRequest(pool_id=made.id, body=body))
        return made
    def listener(protocol, at, group, **more):
        return elb.create("listener", protocol=protocol, protocol_port=at, loadbalancer_id=service.balancer.id,
                          default_pool_id=group.id, **more)
    tcp = pool("TCP", site.backend("relayed").server_port)
    listener("TCP", port, tcp)
    same(site.get(port).name, "relayed")
    raw = site.heads()
    of_tls = listener("TLS", secured, pool("TCP", raw.port), default_tls_container_ref=service.certificate.id,
                      proxy_protocol_enable=True)
    site.is_refused(secured, host="site.example", trusts="site.example")
    assert raw.heads[0].startswith(b"PROXY TCP4 127.0.0.1 127.0.0.1 "), raw.heads
    elb.client.delete_listener(v3.DeleteListenerRequest(listener_id=of_tls.id))
    echo = site.echo()
    listener("UDP", datagrams, pool("UDP", echo))
    same(site.asks(datagrams, b"hello"), b"hello")


def batches_and_pages(plain):
    """Many members by one call, and lists in pages."""
    elb, client = plain.elb, plain.elb.client
    pool = elb.create("pool", protocol="HTTP", lb_algorithm="LEAST_CONNECTIONS", loadbalancer_id=plain.secured.balancer.id)
    elb.update_listener(plain.listener, default_pool_id=pool.id)
    answer = plain.get()
    same((answer.status, answer.headers["x-router-code"]), (503, "40000"))
    servers = [plain.site.backend(f"p{number}") for number in range(3)]
    options = [v3.BatchCreateMembersOption(address="127.0.0.1", protocol_port=server.server_port, name=f"m{number}")
               for number, server in enumerate(servers)]
    body = v3.BatchCreateMembersRequestBody(members=options)
    members = client.batch_create_members(v3.BatchCreateMembersRequest(pool_id=pool.id, body=body)).members
    same([member.ret_status for member in members], ["successful"] * 3)
    same({plain.get().name for _ in range(30)}, {"p0", "p1", "p2"})
    page = client.list_members(v3.ListMembersRequest(pool_id=pool.id, limit=2))
    same(([one.name for one in page.members], page.page_info.next_marker), (["m0", "m1"], page.members[1].id))
    page = client.list_members(v3.ListMembersRequest(pool_id=pool.id, limit=2, marker=page.page_info.next_marker))
    same(([one.name for one in page.members], page.page_info.next_marker), (["m2"], None))
    named = client.list_members(v3.ListMembersRequest(pool_id=pool.id, name=["m0", "m2"])).members
    same([one.name for one in named], ["m0", "m2"])
    ports = [str(plain.secured.port), str(plain.port)]
    listeners = client.list_listeners(v3.ListListenersRequest(protocol_port=ports)).listeners
    same({one.id for one in listeners}, {plain.listener.id, plain.secured.listener.id})
    body = v3.BatchDeleteMembersRequestBody(members=[v3.BatchDeleteMembersOption(id=members[0].id)])
    client.batch_delete_members(v3.BatchDeleteMembersRequest(pool_id=pool.id, body=body))
    same({plain.get().name for _ in range(20)}, {"p1", "p2"})
    sticky = v3.UpdatePoolSessionPersistenceOption(type="HTTP_COOKIE", persistence_timeout=5)
    body = v3.UpdatePoolRequestBody(pool=v3.UpdatePoolOption(session_persistence=sticky))
    client.update_pool(v3.UpdatePoolRequest(pool_id=pool.id, body=body))
    answer = plain.get()
    cookie = answer.headers["set-cookie"].split(";")[0]
    same({plain.get(Cookie=cookie).name for _ in range(8)}, {answer.name})


def restart(plain):
    """What was made is served by the next process, and `check` accepts it."""
    def objects():
        return [one.to_dict() for one in plain.elb.client.list_listeners(v3.ListListenersRequest()).listeners]
    before = objects()
    plain.site.restart()
    plain.elb.client = plain.site.client(*WRITER)
    same(objects(), before)
    same((plain.get().status, plain.secured.get().status), (200, 200))
    code, said = plain.site.check()
    assert code == 0, said
    same(oct(os.stat(plain.site.home / "elb/objects.json").st_mode & 0o777), "0o600")


def deletes(plain):
    """Everything goes in the usual order, or all at once."""
    client, service = plain.elb.client, plain.secured
    says(refusal(lambda: client.delete_load_balancer(v3.DeleteLoadBalancerRequest(loadbalancer_id=service.balancer.id))),
         409, "ELB.8907", "its listeners")
    says(refusal(lambda: client.delete_pool(v3.DeletePoolRequest(pool_id=service.pool.id))), 409, "ELB.8907")
    for member in service.members:
        client.delete_member(v3.DeleteMemberRequest(pool_id=service.pool.id, member_id=member.id))
    client.delete_pool(v3.DeletePoolRequest(pool_id=service.pool.id))
    request = v3.ShowListenerRequest(listener_id=service.listener.id)
    same(client.show_listener(request).listener.default_pool_id, None)
    client.delete_listener(v3.DeleteListenerRequest(listener_id=service.listener.id))
    assert service.site.is_refused(service.port, host="site.example", trusts="site.example")
    says(refusal(lambda: client.show_listener(request)), 404, "ELB.8904")
    client.delete_certificate(v3.DeleteCertificateRequest(certificate_id=service.certificate.id))
    client.delete_load_balancer_force(v3.DeleteLoadBalancerForceRequest(loadbalancer_id=service.balancer.id))
    same(client.list_listeners(v3.ListListenersRequest()).listeners, [])
    same(client.list_pools(v3.ListPoolsRequest()).pools, [])
    assert plain.site.is_refused(plain.port) and plain.site.get(plain.site.web).text == "hello"
    audit = (plain.site.home / "audit.log").read_text()
    assert "AKWRITE" in audit and "secret-of" not in audit + (plain.site.home / "stderr").read_text()


def judge(name, case, *subjects):
    """Runs a case; what a later one stands upon is there whether or not it has passed."""
    try:
        found = case(*subjects)
        tell(name)
        return found
    except Exception as problem:  # whatever it finds
        tell(name, f"{type(problem).__name__}: {str(problem)[:400]}")
        return None


def main():
    binary, folder = (os.path.abspath(path) for path in sys.argv[1:])
    site = Site(binary, folder)
    try:
        for name in ("site.example", "other.example", "clients"):
            site.certify(name)
        site.certify("somebody", "clients")
        elb = Elb(site.client(*WRITER))
        for case in (signatures, before_anything):
            judge(case.__doc__, case, site, elb)
        service = judge("A service with HTTPS is made.", Secured, site, elb)
        for case in (https_at_both_sides, what_is_wrong, health, names_of_sites, headers_of_the_balancer, client_certificates,
                     security_policies):
            judge(case.__doc__, case, service)
        plain = judge("A service with HTTP is made.", Plain, service)
        for case in (policies, advanced_policies, other_origins, copies, redirect_to_https, access_lists, relayed, master_and_slave,
                     batches_and_pages, restart, deletes):
            judge(case.__doc__, case, plain)
    finally:
        site.stop()
    site = Site(binary, folder, is_secured=True)
    try:
        elb = Elb(site.client(*WRITER))
        judge("The same over HTTPS: " + before_anything.__doc__, before_anything, site, elb)
        judge("The same over HTTPS: " + signatures.__doc__, signatures, site, elb)
    finally:
        site.stop()
    # Threads of the SDK would keep the process.
    sys.stdout.flush()
    os._exit(1 if failed else 0)


main()
