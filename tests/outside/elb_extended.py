"""More procedures of the manuals for the judge of the ELB API: pages of other origins, copies of requests, and master-slave pools.
"""
from huaweicloudsdkelb import v3

from elb_kit import free_port, refusal, same, says


def other_origins(plain):
    """Pages of other origins, and preflights of their browsers."""
    cors = v3.CreateCorsConfig(allow_origin=["https://*.app.example"], allow_methods=["GET", "PUT"], allow_headers=["x-token"],
                               expose_headers=["x-total"], allow_credentials=True, max_age=600)
    everything = v3.CreateL7PolicyRuleOption(type="PATH", compare_type="STARTS_WITH", value="/")
    def policy(**extend):
        return plain.policy(action="REDIRECT_TO_POOL", redirect_pool_id=plain.pools["api"].id, rules=[everything],
                            redirect_pools_extend_config=v3.CreateRedirectPoolsExtendConfig(**extend))
    made = policy(cors_config=cors)
    same(made.redirect_pools_extend_config.cors_config.allow_methods, ["GET", "PUT"])
    def asks(method, origin):
        how = {"Origin": origin, "Access_Control_Request_Method": "PUT"}
        answer = plain.site.get(plain.port, method=method, **how)
        found = [answer.headers.get(f"access-control-{name}") for name in ("allow-origin", "allow-methods", "allow-headers", "max-age")]
        return answer.status, found
    same(asks("OPTIONS", "https://one.app.example"), (204, ["https://one.app.example", "GET, PUT", "x-token", "600"]))
    same(asks("OPTIONS", "https://app.example.other")[0], 403)
    same(asks("GET", "https://one.app.example"), (200, ["https://one.app.example", None, None, None]))
    plain.delete(made)
    anybody = v3.CreateCorsConfig(allow_origin=["*"], allow_credentials=True)
    says(refusal(lambda: policy(cors_config=anybody)), 400, "ELB.8902", "`redirect_pools_extend_config.cors_config.allow_credentials`")


def copies(plain):
    """A group that gets a copy of each request."""
    elb = plain.elb
    shadow = plain.site.backend("shadow")
    pool = elb.create("pool", protocol="HTTP", lb_algorithm="ROUND_ROBIN", loadbalancer_id=plain.secured.balancer.id)
    elb.member(pool, shadow)
    everything = v3.CreateL7PolicyRuleOption(type="PATH", compare_type="STARTS_WITH", value="/")
    def policy(*targets):
        extend = v3.CreateRedirectPoolsExtendConfig(traffic_mirror_config=v3.CreateTrafficMirrorConfig(target_ids=list(targets)))
        return plain.policy(action="REDIRECT_TO_POOL", redirect_pool_id=plain.pools["api"].id, rules=[everything],
                            redirect_pools_extend_config=extend)
    made = policy(pool.id)
    same((plain.get("/copied?a=b").name, made.redirect_pools_extend_config.traffic_mirror_config.target_ids), ("api", [pool.id]))
    plain.site.wait_until(lambda: shadow.asked == [("GET", "/copied?a=b")], f"the copy does not come: {shadow.asked}")
    says(refusal(lambda: policy(pool.id, plain.pools["canary"].id)), 400, "ELB.8902", "`redirect_pools_extend_config.traffic_mirror_config.target_ids`")
    plain.delete(made)
    plain.get("/alone")
    same(shadow.asked, [("GET", "/copied?a=b")])


def master_and_slave(plain):
    """A slave serves while its master is down."""
    elb, site, client, balancer = plain.elb, plain.site, plain.elb.client, plain.secured.balancer
    master, slave = site.backend("master"), site.backend("slave")
    def member(server, role):
        return v3.CreateMasterSlaveMemberOption(address="127.0.0.1", protocol_port=server.server_port, role=role, name=role)
    monitor = v3.CreateMasterSlaveHealthMonitorOption(type="HTTP", delay=1, timeout=1, max_retries=1, max_retries_down=1, url_path="/health")
    def create(*members):
        option = v3.CreateMasterSlavePoolOption(name="pair", protocol="TCP", lb_algorithm="ROUND_ROBIN", loadbalancer_id=balancer.id,
                                                members=list(members), healthmonitor=monitor)
        body = v3.CreateMasterSlavePoolRequestBody(pool=option)
        return client.create_master_slave_pool(v3.CreateMasterSlavePoolRequest(body=body)).pool
    says(refusal(lambda: create(member(master, "master"))), 400, "ELB.8902", "`members`")
    pool = create(member(master, "master"), member(slave, "slave"))
    same(([one.role for one in pool.members], pool.healthmonitor.url_path), (["master", "slave"], "/health"))
    port = free_port()
    listener = elb.create("listener", protocol="TCP", protocol_port=port, loadbalancer_id=balancer.id, default_pool_id=pool.id)
    show = v3.ShowMasterSlavePoolRequest(pool_id=pool.id)
    def statuses():
        return [one.operating_status for one in client.show_master_slave_pool(show).pool.members]
    site.wait_until(lambda: statuses() == ["ONLINE", "ONLINE"], "the two are not online")
    same({site.get(port).name for _ in range(6)}, {"master"})
    master.health = 503
    site.wait_until(lambda: statuses() == ["OFFLINE", "ONLINE"], "the master is not offline")
    same({site.get(port).name for _ in range(6)}, {"slave"})
    master.health = 200
    site.wait_until(lambda: statuses() == ["ONLINE", "ONLINE"], "the master is not back")
    same({site.get(port).name for _ in range(6)}, {"master"})
    pools = client.list_master_slave_pools(v3.ListMasterSlavePoolsRequest(name=["pair"])).pools
    same([[one.id for one in one.listeners] for one in pools], [[listener.id]])
    says(refusal(lambda: client.delete_pool(v3.DeletePoolRequest(pool_id=pool.id))), 404, "ELB.8904")
    client.delete_master_slave_pool(v3.DeleteMasterSlavePoolRequest(pool_id=pool.id))
    says(refusal(lambda: client.show_master_slave_pool(show)), 404, "ELB.8904")
    client.delete_listener(v3.DeleteListenerRequest(listener_id=listener.id))
