"""The cluster's configuration meets the manifests."""

import yaml
from tiltfile_evaluator import Tiltfile

from inferway_cluster import install, kind
from inferway_cluster.images import DEV_TAG, IN_CLUSTER, ROOT, UID

CONFIG = yaml.safe_load((ROOT / kind.CONFIG).read_text())


def test_cluster_name_is_that_of_the_code() -> None:
    assert CONFIG["name"] == kind.NAME


def test_mapped_ports_listen_on_loopback_only() -> None:
    mappings = [mapping for node in CONFIG["nodes"] for mapping in node.get("extraPortMappings", [])]
    assert [mapping["listenAddress"] for mapping in mappings] == ["127.0.0.1"]


def test_mapped_port_is_the_node_port_of_the_gateway() -> None:
    objects = Tiltfile().objects
    (service,) = [
        each for each in objects if each["kind"] == "Service" and each["metadata"]["name"] == "inferway-gateway"
    ]
    (mapping,) = CONFIG["nodes"][0]["extraPortMappings"]
    assert [port["nodePort"] for port in service["spec"]["ports"] if "nodePort" in port] == [mapping["containerPort"]]


def test_pods_use_the_loaded_images_and_their_user() -> None:
    objects = Tiltfile().objects
    pods = [each["spec"]["template"]["spec"] for each in objects if each["kind"] == "Deployment"]
    images = {container["image"] for pod in pods for container in pod["containers"]}
    assert images == {image.reference(DEV_TAG) for image in IN_CLUSTER}
    for pod in pods:
        users = {pod.get("securityContext", {}).get("runAsUser")} | {
            container.get("securityContext", {}).get("runAsUser") for container in pod["containers"]
        }
        assert users - {None} == {UID}


def test_install_waits_for_every_installed_object() -> None:
    objects = Tiltfile().objects
    namespaces = {each["metadata"]["namespace"] for each in objects if each["kind"] == "Deployment"}
    assert namespaces == {*install.PLANES, install.DEMO}
    definitions = {each["metadata"]["name"] for each in objects if each["kind"] == "CustomResourceDefinition"}
    assert definitions == set(install.DEFINITIONS)
