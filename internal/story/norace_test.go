//go:build !race

package story

// oneOf is how many plays of a kind there are for each that is played.
const oneOf = 1

// watched is how TestStories plays a story.
var watched = play
