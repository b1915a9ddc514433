"""Measure the web console: bytes transferred and time for the overview, also with 10,000 keys (`make bench-console`).

The browser and the local stack share this machine, so the times include the emulator's. Each row is the median of some
loads with an empty cache. moto is too slow for 10,000 keys: set AWS_ENDPOINT_URL_DYNAMODB to DynamoDB Local for them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore.session
from playwright.sync_api import sync_playwright

from local.aws import CREDENTIALS
from local.fake_services import FakeServices
from local.stack import LocalStack, local_stack
from tests.browser import chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

STATIC = Path(__file__).parents[1] / "functions" / "console" / "static"
SERVICE_COUNT = 100
READY = "Store a key of another service"
NOW = "performance.now() + performance.timeOrigin"


def main() -> int:
    """Print one line for each size of the table, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, nargs="*", default=[8, 10_000], help="sizes of the table (8 and 10000)")
    parser.add_argument("--loads", type=int, default=5, help="loads for each row (5)")
    options = parser.parse_args()
    program = chromium.find()
    if program is None:
        sys.stderr.write(f"{chromium.MISSING}\n")
        return 1
    files = [path for path in STATIC.rglob("*") if path.is_file() and path.name != "api.html"]
    print(f"files: {len(files)}, {sum(path.stat().st_size for path in files) / 1000:.1f} KB, without the API page")
    with FakeServices() as fakes, local_stack(fake_services_url=fakes.url) as stack, sync_playwright() as playwright:
        os.environ.update(stack.consumer_environment())
        browser = playwright.chromium.launch(executable_path=program, args=chromium.OPTIONS)
        stored = 0
        for count in options.keys:
            store_keys(stack, stored, count)
            stored = count
            loads = [load(browser, stack) for _ in range(options.loads)]
            row = {name: statistics.median(each[name] for each in loads) for name in loads[0]}
            print(
                f"{count} keys: overview {row['bytes'] / 1000:.1f} KB in {row['requests']:.0f} requests, "
                f"shown {row['ms']:.0f} ms after the sign-in (API {row['api ms']:.0f} ms); "
                f"first 50 keys {row['list ms']:.0f} ms"
            )
        browser.close()
    return 0


def store_keys(stack: LocalStack, start: int, end: int) -> None:
    """Write copies of a stored key's item into the table, for `SERVICE_COUNT` services."""
    dynamodb: Any = botocore.session.Session().create_client(
        "dynamodb",
        endpoint_url=stack.dynamodb_url,
        region_name=CREDENTIALS["AWS_REGION"],
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    )
    if start == 0:
        create_key(stack)
    items = dynamodb.scan(TableName=stack.table_name)["Items"]
    item = next(each for each in items if each["service"]["S"] == "intranet-0")
    puts = []
    for number in range(max(start, 1), end):
        service = f"intranet-{number % SERVICE_COUNT}"
        unique = {"id": {"S": f"{service}.{number:012}"}, "service": {"S": service}, "name": {"S": f"Key {number}"}}
        puts.append({"PutRequest": {"Item": item | unique}})
    for first in range(0, len(puts), 25):
        dynamodb.batch_write_item(RequestItems={stack.table_name: puts[first : first + 25]})


def create_key(stack: LocalStack) -> None:
    """Store the first key through the API."""
    import json
    import urllib.request

    body = json.dumps({"name": "Key 0", "service": "intranet-0", "key": "made-up-0123456789-0123456789"}).encode()
    headers = {"Authorization": f"Bearer {stack.issuer.token()}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{stack.url}/api/v1/admin/api-keys", body, headers)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30):
        pass


def load(browser: Browser, stack: LocalStack) -> dict[str, float]:
    """Sign in with an empty cache; return bytes, requests and milliseconds."""
    page = browser.new_page()
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    received: list[float] = []
    session.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
    page.goto(f"{stack.console_url}/index.html")
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_role("button", name="Sign in as administrator").wait_for()
    session.send("Network.clearBrowserCache")
    received.clear()
    page.get_by_role("button", name="Sign in as administrator").click()
    page.get_by_role("link", name=READY).wait_for()
    page.wait_for_load_state("networkidle")
    shown = {"bytes": sum(received), "requests": float(len(received)), **_times(page)}
    page.context.close()
    return shown


def _times(page: Page) -> dict[str, float]:
    timings: dict[str, float] = page.evaluate(
        """() => {
          const api = performance.getEntriesByType("resource").find((each) => each.name.endsWith("/services"));
          return { api: api.duration, end: api.responseEnd };
        }"""
    )
    # Two frames after the response, the cards are painted.
    began = page.evaluate(NOW)
    page.evaluate("() => { location.hash = '#/keys'; }")
    page.get_by_role("table").wait_for()
    listed = page.evaluate(NOW) - began
    return {"ms": timings["end"], "api ms": timings["api"], "list ms": listed}


if __name__ == "__main__":
    sys.exit(main())
