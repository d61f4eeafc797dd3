"""EnvironmentProxyOperator: what the proxy serves for an environment."""

from collections.abc import Sequence

from executor.operators.ports import SiteRoute
from executor.operators.world import World
from stagewright.contracts.work import Route
from stagewright.errors import Terminal


class EnvironmentProxyOperator:
    """Acts on the proxy's site of one environment; may be repeated at will."""

    def __init__(self, environment: str, world: World) -> None:
        self._environment = environment
        self._world = world

    async def update(self, routes: Sequence[Route], *, maintenance: bool = False) -> bool:
        """Serve exactly these routes, or say that there is maintenance; True where something changed.

        Raises:
            Terminal: `routes.incomplete`, `server.unknown`, `proxy.…`; Retryable: `proxy.unavailable`.
        """
        sites = [self._site(route) for route in routes]
        return await self._world.proxy.ensure(self._environment, sites, maintenance=maintenance)

    def _site(self, route: Route) -> SiteRoute:
        if route.bucket is not None:
            return SiteRoute(route.domain, route.path, bucket=route.bucket, prefix=route.prefix)
        if route.port is None:
            raise self._incomplete(f"service {route.service} has neither port nor bucket")
        address = self._world.server(route.server).address
        return SiteRoute(route.domain, route.path, upstream=f"{address}:{route.port}")

    def _incomplete(self, what: str) -> Terminal:
        return Terminal(
            "routes.incomplete",
            f"environment:{self._environment}",
            f"{what}.",
            "Report this with the order's events: allocation comes before routing.",
        )
