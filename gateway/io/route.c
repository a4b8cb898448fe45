/*
 * The address that a connection to the Internet would have, asked of the kernel by connecting a
 * datagram socket: that looks the route up and sends nothing. For `postern doctor`.
 */
#include "io/route.h"

#include <sys/socket.h>
#include <unistd.h>

/* Addresses of two root name servers: always there, always far away. */
static const char far4[] = "198.41.0.4", far6[] = "2001:503:ba3e::2:30";

int
route_source(unsigned family, struct ip *ip, struct err *err)
{
	struct sockaddr_storage ss = {0};
	struct ip far;
	uint16_t port;
	ip_parse(slice_of(family == 4 ? far4 : far6), &far);
	socklen_t bytes = ip_to_sockaddr(&far, 53, &ss);
	int fd = socket(family == 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(err, "make a socket");
	int result = connect(fd, (const struct sockaddr *)&ss, bytes);
	bytes = sizeof(ss);
	if (result == 0)
		result = getsockname(fd, (struct sockaddr *)&ss, &bytes);
	if (result < 0)
		err_sys(err, "look up the way to the Internet by IPv%u", family);
	else
		ip_from_sockaddr((const struct sockaddr *)&ss, ip, &port);
	close(fd);
	return result;
}

bool
route_is_private(const struct ip *ip)
{
	static const char *const nets[] = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",
		"100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8", "fc00::/7", "fe80::/10",
		"::1/128"};
	for (size_t i = 0; i < sizeof(nets) / sizeof(nets[0]); i++) {
		struct ip_net net;
		if (ip_net_parse(slice_of(nets[i]), &net) && ip_in_net(ip, &net))
			return true;
	}
	return false;
}
