#!/usr/bin/env bash
# A server that is asked too much answers 429 and may say in the content what was too much, and when to come back (RFC 6585 §4). The SDK
# of Huawei Cloud turns error answers into exceptions with the code, the text and the request id of the service.
#
# Seen: with huaweicloudsdkcore 3.1.219 an answer of 429 is the one whose content and fields are lost: the code is "429", the text is that of
# a retry of the HTTP library that has not taken place (one request was sent), and there is no request id. 400, 409 and 503 with the same content
# give all three. An answer of 302 is a success whose object is empty: the exception never comes, and nobody goes to `Location`.
# Expected: 429 as 409 and 503, and 302 followed or refused.
#
# What follows: a service that this SDK is to understand says "too much" by 409 or 503, and never redirects; scripts that look for their own code of
# an exceeded rate look for "429" instead.
#
# Needs python3 with venv. Fails when what is seen changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export HOME=$folder no_proxy=127.0.0.1
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check huaweicloudsdkcore==3.1.219 huaweicloudsdkelb==3.1.219
cat >case.py <<'PY'
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ServiceResponseException
from huaweicloudsdkelb.v3 import ElbClient, ListLoadBalancersRequest

CONTENT = json.dumps({"error_code": "APIGW.0308", "error_msg": "200 calls a minute are allowed", "request_id": "r1"}).encode()
asked = []


class Service(BaseHTTPRequestHandler):
    def do_GET(self):
        asked.append(self.path)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Request-Id", "r1")
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, *_):
        pass


service = ThreadingHTTPServer(("127.0.0.1", 0), Service)
threading.Thread(target=service.serve_forever, daemon=True).start()
key = BasicCredentials("access", "secret", "project")
client = ElbClient.new_builder().with_credentials(key).with_endpoint(f"http://127.0.0.1:{service.server_port}").build()
for status in (400, 409, 503, 429, 302):
    asked.clear()
    try:
        answer = client.list_load_balancers(ListLoadBalancersRequest())
        told = f"taken, load balancers: {answer.loadbalancers}"
    except ServiceResponseException as error:
        text = "too many 429 error responses" if "too many 429 error responses" in error.error_msg else error.error_msg
        told = f"{type(error).__name__}, code {error.error_code}, text {text!r}, request {error.request_id!r}"
    print(f"{status}, asked {len(asked)} time(s): {told}", flush=True)
# It keeps threads that would not let the process end.
os._exit(0)
PY
said=$(timeout 60 venv/bin/python case.py 2>/dev/null)
echo "$said"
diff - <(echo "$said") <<'SEEN'
400, asked 1 time(s): ClientRequestException, code APIGW.0308, text '200 calls a minute are allowed', request 'r1'
409, asked 1 time(s): ClientRequestException, code APIGW.0308, text '200 calls a minute are allowed', request 'r1'
503, asked 1 time(s): ServerResponseException, code APIGW.0308, text '200 calls a minute are allowed', request 'r1'
429, asked 1 time(s): ClientRequestException, code 429, text 'too many 429 error responses', request ''
302, asked 1 time(s): taken, load balancers: None
SEEN
echo "seen as described"
