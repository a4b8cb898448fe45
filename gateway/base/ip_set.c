/*
 * Networks as a sorted array without any that lies in another: of two networks one contains the
 * other or they are apart, so what is left never overlaps, and the last one that begins at or
 * before an address is the only one that can have it. One binary search, IPv4 before IPv6.
 */
#include "base/ip_set.h"

#include <stdlib.h>
#include <string.h>

struct ip_set {
	struct ip_net *nets;
	size_t n;
};

/* By family, then by the first address. */
static int
compare_ips(const struct ip *a, const struct ip *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->bytes, b->bytes, a->family == 4 ? 4 : 16);
}

/* Of those that begin alike the widest comes first. */
static int
compare_nets(const void *a, const void *b)
{
	const struct ip_net *x = a, *y = b;
	int order = compare_ips(&x->ip, &y->ip);
	return order != 0 ? order : (int)x->prefix - (int)y->prefix;
}

struct ip_set *
ip_set_new(const struct ip_net *nets, size_t n, struct arena *a)
{
	struct ip_set *s = ARENA_NEW(a, struct ip_set);
	s->nets = arena_array(a, n, sizeof(*s->nets));
	if (n != 0)
		memcpy(s->nets, nets, n * sizeof(*nets));
	if (n > 1)
		qsort(s->nets, n, sizeof(*s->nets), compare_nets);
	for (size_t i = 0; i < n; i++)
		if (s->n == 0 || !ip_in_net(&s->nets[i].ip, &s->nets[s->n - 1]))
			s->nets[s->n++] = s->nets[i];
	return s;
}

bool
ip_set_has(const struct ip_set *s, const struct ip *ip, unsigned *steps_out)
{
	size_t low = 0, high = s != NULL ? s->n : 0;
	unsigned steps = 0;
	while (low < high) { /* the last one that does not begin behind ip is at low - 1 */
		size_t middle = low + (high - low) / 2;
		steps++;
		if (compare_ips(&s->nets[middle].ip, ip) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (steps_out != NULL)
		*steps_out = steps;
	return low > 0 && ip_in_net(ip, &s->nets[low - 1]);
}
