/*
 * Where the resolver's servers and trust anchors come from: the configuration, or else the
 * system (resolv.conf); read before the sandbox closes the file system.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "io/dns_priv.h"

enum { CONF_BYTES = 64 * 1024, DNS_PORT = 53 };

/* The root's keys of 2017 and 2024, as IANA publishes them (root-anchors.xml). */
static const char root_anchors[] =
	". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D\n"
	". IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16\n";

static int
conf_read(const char *path, struct buf *out, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, "open %s", path);
	ssize_t n = 1;
	while (n > 0) {
		char *to = buf_reserve(out, 4096);
		if (to == NULL) {
			close(fd);
			return err_set(err, "%s: larger than %zu bytes", path, out->max);
		}
		n = read(fd, to, 4096);
		if (n > 0)
			buf_commit(out, (size_t)n);
	}
	if (n < 0)
		err_sys(err, "read %s", path);
	close(fd);
	return (int)n;
}

void
dns_conf_parse(struct slice text, struct dns_config *config)
{
	while (text.n != 0 && config->n < DNS_SERVERS_MOST) {
		struct slice line, key, value;
		struct ip ip;
		size_t at = 0;
		slice_cut(text, '\n', &line, &text);
		line = slice_trim(line);
		while (at < line.n && line.p[at] != ' ' && line.p[at] != '\t')
			at++;
		key = slice_first(line, at);
		value = slice_trim(slice_from(line, at));
		if (slice_eq(key, SLICE("nameserver")) && ip_parse(value, &ip))
			config->servers[config->n++] = (struct dns_server){ip, DNS_PORT};
	}
}

int
dns_conf_system(struct dns_config *config, struct err *err)
{
	struct buf text;
	buf_init(&text, CONF_BYTES);
	int result = conf_read("/etc/resolv.conf", &text, err);
	/* resolv.conf(5): without it, or without a server in it, the one on this host. */
	if (result < 0 && err->code == ENOENT)
		result = 0;
	dns_conf_parse(buf_slice(&text), config);
	buf_fini(&text);
	if (result == 0 && config->n == 0) {
		ip_parse(SLICE("127.0.0.1"), &config->servers[0].ip);
		config->servers[0].port = DNS_PORT;
		config->n = 1;
	}
	return result;
}

/* Whether a line that is no comment has the word DS or DNSKEY, between blanks or tabs. */
static bool
conf_has_anchor(struct slice text)
{
	while (text.n != 0) {
		struct slice line;
		slice_cut(text, '\n', &line, &text);
		slice_cut(line, ';', &line, &(struct slice){0});
		for (size_t at = 0; at < line.n;) {
			size_t n = 0;
			while (at + n < line.n && line.p[at + n] != ' ' &&
				line.p[at + n] != '\t')
				n++;
			struct slice word = slice_first(slice_from(line, at), n);
			if (slice_eq_nocase(word, SLICE("DS")) ||
				slice_eq_nocase(word, SLICE("DNSKEY")))
				return true;
			at += n + 1;
		}
	}
	return false;
}

int
dns_conf_anchors(const struct dns_config *config, struct buf *out, struct err *err)
{
	buf_init(out, CONF_BYTES);
	if (config->trust_file == NULL)
		return buf_add_text(out, root_anchors);
	if (conf_read(config->trust_file, out, err) < 0)
		return -1;
	if (!conf_has_anchor(buf_slice(out)))
		return err_set(err, "%s: no DS or DNSKEY record in it", config->trust_file);
	return 0;
}
