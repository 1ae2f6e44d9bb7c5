// Goroutines that compute, allocate and hand work to one another.
package main

import (
	"fmt"
	"sort"
	"strings"
)

var sink int

//go:noinline
func recurse(depth int) int {
	if depth == 0 {
		return spin(20000)
	}
	return recurse(depth-1) + depth
}

//go:noinline
func spin(rounds int) int {
	sum := 0
	for i := 0; i < rounds; i++ {
		sum += i * i % 7
	}
	return sum
}

//go:noinline
func allocate(rounds int) int {
	words := make([]string, 0, rounds)
	for i := 0; i < rounds; i++ {
		words = append(words, fmt.Sprintf("word %d", i*7919%rounds))
	}
	sort.Strings(words)
	return len(strings.Join(words, " "))
}

func main() {
	results := make(chan int)
	for i := 0; i < 2; i++ {
		go func() {
			for {
				results <- recurse(30)
				results <- allocate(500)
			}
		}()
	}
	fmt.Println("ready")
	for result := range results {
		sink += result
	}
}
