/*
 * Order in time and turns, within the items themselves. The heap is a leftist tree: no array
 * that has to grow, and no operation takes more than some log2(n) steps, taking out of the
 * middle included, since from any node the way down to the right is the shortest.
 */
#include "base/must.h"
#include "queue/schedule_priv.h"

static struct node *
node_at(const struct pool *p, uint32_t i)
{
	return pool_at(p, i);
}

static unsigned
rank_of(const struct pool *p, uint32_t i)
{
	return i != 0 ? node_at(p, i)->rank : 0;
}

/* True: the rank of n is another than before. */
static bool
lean(const struct pool *p, struct node *n)
{
	if (rank_of(p, n->left) < rank_of(p, n->right)) {
		uint32_t left = n->left;
		n->left = n->right;
		n->right = left;
	}
	uint8_t rank = (uint8_t)(rank_of(p, n->right) + 1);
	bool changed = rank != n->rank;
	n->rank = rank;
	return changed;
}

/* Two trees into one, down their right sides; the root of each has no `up`. */
static uint32_t
merge(struct schedule *s, struct pool *p, uint32_t a, uint32_t b)
{
	if (a == 0 || b == 0)
		return a != 0 ? a : b;
	if (node_at(p, b)->key_ms < node_at(p, a)->key_ms) {
		uint32_t earlier = b;
		b = a;
		a = earlier;
	}
	uint32_t root = a;
	while (b != 0) {
		struct node *n = node_at(p, a);
		uint32_t right = n->right;
		s->steps++;
		if (right != 0 && node_at(p, right)->key_ms <= node_at(p, b)->key_ms) {
			a = right;
			continue;
		}
		n->right = b;
		node_at(p, b)->up = a;
		a = b;
		b = right;
	}
	for (; a != 0; a = node_at(p, a)->up)
		lean(p, node_at(p, a));
	return root;
}

void
heap_add(struct schedule *s, struct pool *p, uint32_t *root, uint32_t i)
{
	struct node *n = node_at(p, i);
	must(n->place == PLACE_NONE);
	n->place = PLACE_HEAP;
	n->left = n->right = n->up = 0;
	n->rank = 1;
	*root = merge(s, p, *root, i);
}

void
heap_drop(struct schedule *s, struct pool *p, uint32_t *root, uint32_t i)
{
	struct node *n = node_at(p, i);
	must(n->place == PLACE_HEAP);
	uint32_t up = n->up;
	if (n->left != 0)
		node_at(p, n->left)->up = 0;
	if (n->right != 0)
		node_at(p, n->right)->up = 0;
	uint32_t rest = merge(s, p, n->left, n->right);
	if (rest != 0)
		node_at(p, rest)->up = up;
	if (up == 0)
		*root = rest;
	else if (node_at(p, up)->left == i)
		node_at(p, up)->left = rest;
	else
		node_at(p, up)->right = rest;
	/* Each new rank is one more than that below it, so this ends within log2(n). */
	while (up != 0 && lean(p, node_at(p, up))) {
		s->steps++;
		up = node_at(p, up)->up;
	}
	n->left = n->right = n->up = 0;
	n->place = PLACE_NONE;
}

bool
heap_walk(const struct pool *p, uint32_t root, uint64_t limit_ms,
	bool (*fn)(void *arg, uint32_t i), void *arg)
{
	uint32_t from = 0;
	for (uint32_t i = root; i != 0;) {
		const struct node *n = node_at(p, i);
		uint32_t next = n->up;
		if (from == n->up && n->key_ms <= limit_ms) {
			if (!fn(arg, i))
				return false;
			if (n->left != 0)
				next = n->left; /* without a left there is no right */
		} else if (from != n->up && from == n->left && n->right != 0) {
			next = n->right;
		}
		from = i;
		i = next;
	}
	return true;
}

void
ring_add(struct pool *p, uint32_t *first, uint32_t i)
{
	struct node *n = node_at(p, i);
	must(n->place == PLACE_NONE);
	n->place = PLACE_RING;
	if (*first == 0) {
		n->before = n->after = i;
		*first = i;
		return;
	}
	struct node *head = node_at(p, *first);
	n->after = *first;
	n->before = head->before;
	node_at(p, head->before)->after = i;
	head->before = i;
}

void
ring_drop(struct pool *p, uint32_t *first, uint32_t i)
{
	struct node *n = node_at(p, i);
	must(n->place == PLACE_RING);
	if (n->after == i) {
		*first = 0;
	} else {
		node_at(p, n->before)->after = n->after;
		node_at(p, n->after)->before = n->before;
		if (*first == i)
			*first = n->after;
	}
	n->before = n->after = 0;
	n->place = PLACE_NONE;
}
