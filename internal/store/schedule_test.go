package store

import "context"

// schedule runs workers side by side, but one request to the store at a time,
// in the order that pick chooses: it is given how many wait before a request,
// and says which of them goes on. Each worker gets a gate for its store.
func schedule(pick func(n int) int, workers ...func(gate func(context.Context, bool) error)) {
	type turn struct {
		goOn chan struct{}
		ends bool
	}
	turns := make(chan turn)
	var waiting []turn
	next := func() {
		if w := <-turns; !w.ends {
			waiting = append(waiting, w)
		}
	}
	for _, work := range workers {
		goOn := make(chan struct{})
		go func() {
			work(func(context.Context, bool) error {
				turns <- turn{goOn: goOn}
				<-goOn
				return nil
			})
			turns <- turn{ends: true}
		}()
		next() // one after the other, so that the order is always the same
	}
	for len(waiting) > 0 {
		i := pick(len(waiting))
		w := waiting[i]
		waiting = append(waiting[:i:i], waiting[i+1:]...)
		w.goOn <- struct{}{}
		next()
	}
}

// everySchedule calls run with a pick for each order that there is, and returns
// how many there are.
func everySchedule(run func(pick func(n int) int)) int {
	var path, width []int
	for count := 1; ; count++ {
		at := 0
		run(func(n int) int {
			if at == len(path) {
				path, width = append(path, 0), append(width, n)
			}
			at++
			return path[at-1]
		})
		for len(path) > 0 && path[len(path)-1]+1 == width[len(path)-1] {
			path, width = path[:len(path)-1], width[:len(width)-1]
		}
		if len(path) == 0 {
			return count
		}
		path[len(path)-1]++
	}
}
