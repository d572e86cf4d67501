"""HotplugEvent events for everybody who subscribed. The kernel's own events are tried in the lab (`tests/lab/test_replug.py`)."""

from drivers.hotplug import Hotplug, HotplugEvent


def test_every_subscriber_gets_every_event_also_that_events_were_lost() -> None:
    hotplug, devices, guns = Hotplug({"usb", "input"}), list[HotplugEvent](), list[HotplugEvent]()
    hotplug.subscribe(devices.append)
    hotplug.subscribe(guns.append)
    events = [HotplugEvent("add", "usb", "/devices/x"), HotplugEvent("overflow", "", "")]
    for event in events:
        hotplug._publish(event)
    assert devices == guns == events
