# SPDX-FileCopyrightText: The stepup authors
# SPDX-License-Identifier: Apache-2.0
"""Writes one Deployment the ways Python programs do, and prints what became of it as JSON."""
import json
import sys
import time

from kubernetes import client, config, dynamic
from kubernetes.client.rest import ApiException


def deployment(name, image):
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": image}]}},
        },
    }


def write(way, name, image):
    apps = client.AppsV1Api()
    if way == "create":
        apps.create_namespaced_deployment("prod", deployment(name, image))
    elif way == "patch":
        patch = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}}
        apps.patch_namespaced_deployment(name, "prod", patch)
    elif way == "replace":
        found = apps.read_namespaced_deployment(name, "prod")
        found.spec.template.spec.containers[0].image = image
        apps.replace_namespaced_deployment(name, "prod", found)
    elif way == "scale":
        apps.patch_namespaced_deployment_scale(name, "prod", {"spec": {"replicas": 3}})
    elif way == "apply":
        resources = dynamic.DynamicClient(client.ApiClient()).resources.get(api_version="apps/v1", kind="Deployment")
        body = deployment(name, image)
        resources.server_side_apply(body=body, namespace="prod", field_manager="python", force_conflicts=True)
    elif way == "delete":
        apps.delete_namespaced_deployment(name, "prod")
    else:
        sys.exit(f"write {way}: no such way")


def seen(failure):
    """What a program that catches the exception can tell its user."""
    status = json.loads(failure.body)
    details = status.get("details") or {}
    return {
        "ok": False,
        "code": failure.status,
        "reason": status.get("reason"),
        "message": status.get("message"),
        "approval": details.get("name"),
    }


def main():
    way, name, image = sys.argv[1:4]
    config.load_kube_config()
    started = time.monotonic()
    try:
        write(way, name, image)
        outcome = {"ok": True}
    except ApiException as failure:
        outcome = seen(failure)
    outcome["seconds"] = time.monotonic() - started
    print(json.dumps(outcome))
    if not outcome["ok"]:
        print(outcome["message"], file=sys.stderr)
        sys.exit(1)


main()
