package control

import "context"

type oneLoginKey struct{}

// oneLogin notes in a context that a unit refused our credentials when they were
// tried last. Another failed login may be the third, which locks the account, so
// that the attempt must not make two.
func oneLogin(ctx context.Context) context.Context {
	return context.WithValue(ctx, oneLoginKey{}, true)
}

// OneLogin reports whether what is done with a context may make one failed login at
// most.
func OneLogin(ctx context.Context) bool {
	is, _ := ctx.Value(oneLoginKey{}).(bool)
	return is
}
