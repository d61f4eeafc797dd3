"""EnvironmentDomainsOperator: the records that point domains at the proxy, and the zones that hold them."""

import ipaddress
from collections.abc import Collection, Sequence

from executor.operators.ports import Record, Zone
from executor.operators.world import World, all_of
from stagewright.contracts.work import DnsRecord
from stagewright.errors import Terminal


class EnvironmentDomainsOperator:
    """Acts on public DNS for one environment; every method may be repeated at will."""

    def __init__(self, environment: str, world: World) -> None:
        self._environment = environment
        self._world = world

    async def configure(self, domains: Sequence[str]) -> tuple[tuple[DnsRecord, ...], tuple[str, ...]]:
        """Point every domain at the proxy; (the records, the names of those that were written).

        Raises:
            Terminal: `dns.…`: refused, or the target does not fit.
        """
        kind = record_type(self._world.settings.proxy.dns_target)
        target = self._world.settings.proxy.dns_target.rstrip(".")
        wanted = [DnsRecord(name=name, type=kind, value=target) for name in domains]
        zones = await self._zones(domains)
        changed = await all_of(
            [
                self._write(zone, [record for record in wanted if zones[record.name] == zone])
                for zone in sorted(set(zones.values()), key=lambda zone: zone.name)
            ]
        )
        return tuple(wanted), tuple(sorted(name for names in changed for name in names))

    async def deconfigure(self, records: Sequence[DnsRecord]) -> tuple[str, ...]:
        """Remove these records where they are as they were written; the names of those that were there.

        Every zone that can hold a name is asked: a more specific one may have come later. A domain that the
        proxy serves for another environment by now has become that one's, record and all.
        """
        taken = await self._world.proxy.taken(self._environment)
        ours = [record for record in records if record.name not in taken]
        zones = await self._world.dns.zones()
        removed = await all_of(
            [self._remove(zone, [record for record in ours if within(record.name, zone)]) for zone in zones]
        )
        return tuple(sorted({name for names in removed for name in names}))

    async def _remove(self, zone: Zone, records: Sequence[DnsRecord]) -> Collection[str]:
        there = await all_of([self._world.dns.records(zone, record.name) for record in records])
        ours = [
            one
            for record, found in zip(records, there, strict=True)
            for one in found
            if one == Record(record.name, record.type, record.value.rstrip("."))
        ]
        if ours:
            await self._world.dns.change(zone, upsert=(), remove=ours)
        return [one.name for one in ours]

    async def _zones(self, domains: Sequence[str]) -> dict[str, Zone]:
        """The zone of each domain; zones that are missing are made once, in production by a person."""
        known = await self._world.dns.zones()
        found = {domain: longest_zone(domain, known) for domain in domains}
        nowhere = [domain for domain, zone in found.items() if zone is None]
        if nowhere and self._world.settings.profile == "production":
            raise Terminal(
                "dns.zone_missing",
                ", ".join(nowhere),
                "no hosted zone of the account holds these domains.",
                "Create the zone and delegate it, then submit the order again.",
            )
        missing = sorted({registered(domain) for domain, zone in found.items() if zone is None})
        made = await all_of([self._world.dns.create_zone(name) for name in missing])
        by_name = {zone.name: zone for zone in made}
        return {domain: zone or by_name[registered(domain)] for domain, zone in found.items()}

    async def _write(self, zone: Zone, wanted: Sequence[DnsRecord]) -> Collection[str]:
        for record in wanted:
            if record.type == "CNAME" and record.name == zone.name:
                raise _apex(record)
        there = await all_of([self._world.dns.records(zone, record.name) for record in wanted])
        different = [
            (record, found)
            for record, found in zip(wanted, there, strict=True)
            if Record(record.name, record.type, record.value) not in found or _in_the_way(record, found)
        ]
        if different:
            await self._world.dns.change(
                zone,
                upsert=[Record(record.name, record.type, record.value) for record, _ in different],
                remove=[old for record, found in different for old in _in_the_way(record, found)],
            )
        return [record.name for record, _ in different]


def record_type(target: str) -> str:
    """`A` for an IPv4 address, `CNAME` for a host name.

    Raises:
        Terminal: `dns.target_unsupported`: an IPv6 address.
    """
    try:
        address = ipaddress.ip_address(target)
    except ValueError:
        return "CNAME"
    if address.version == 4:
        return "A"
    raise Terminal(
        "dns.target_unsupported",
        "settings.proxy.dns_target",
        "it is an IPv6 address.",
        "Set it to an IPv4 address, or to a host name that has the addresses.",
    )


def within(domain: str, zone: Zone) -> bool:
    """Whether the zone can hold the domain."""
    return domain == zone.name or domain.endswith(f".{zone.name}")


def longest_zone(domain: str, zones: Sequence[Zone]) -> Zone | None:
    """The most specific zone that a domain is in; of two with one name the one with the first id."""
    found = [zone for zone in zones if within(domain, zone)]
    return min(found, key=lambda zone: (-len(zone.name), zone.id), default=None)


def registered(domain: str) -> str:
    """The name of the zone that is made for a domain: its last two labels."""
    return ".".join(domain.split(".")[-2:])


def _in_the_way(wanted: DnsRecord, found: Sequence[Record]) -> list[Record]:
    """Records that cannot or must not stand beside the wanted one: CNAME beside any, and other addresses."""
    return [record for record in found if record.type != wanted.type]


def _apex(record: DnsRecord) -> Terminal:
    return Terminal(
        "dns.apex_cname",
        record.name,
        "the domain is its zone's own name, which cannot be a CNAME.",
        "Set proxy.dns_target to an IPv4 address, or use a name below the zone.",
    )
