// Ground truth on goroutines: net/http, and database/sql where CLIENT says so. See tests/src/truth. Takes a port.
package main

import (
	"database/sql"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	_ "github.com/lib/pq"
)

// A call to what is behind this server, in the name of a request.
type caller func(id string, number int) error

func overHTTP() caller {
	upstream := os.Getenv("UPSTREAM")
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
	return func(id string, number int) error {
		answer, err := client.Get(fmt.Sprintf("%s/up/%s/%d", upstream, id, number))
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		_, err = io.Copy(io.Discard, answer.Body)
		return err
	}
}

func overSQL() caller {
	// libpq's own variables say where.
	db, err := sql.Open("postgres", "sslmode=disable")
	if err != nil {
		log.Fatal(err)
	}
	db.SetMaxOpenConns(24)
	db.SetMaxIdleConns(24)
	return func(id string, number int) error {
		_, err := db.Exec(fmt.Sprintf("SELECT pg_sleep(%f) AS r%s_%d", rand.Float64()*0.008, id, number))
		return err
	}
}

func pause() { time.Sleep(time.Duration(rand.Int63n(int64(5 * time.Millisecond)))) }

func one(call caller, id string, number int) {
	if err := call(id, number); err != nil {
		panic(err)
	}
}

func fan(call caller, id string) {
	var both sync.WaitGroup
	for number := 1; number <= 2; number++ {
		both.Add(1)
		go func() {
			defer both.Done()
			one(call, id, number)
		}()
	}
	both.Wait()
	one(call, id, 3)
}

func main() {
	call := overHTTP()
	if os.Getenv("CLIENT") == "sql" {
		call = overSQL()
	}
	handle := func(w http.ResponseWriter, r *http.Request) {
		pattern, id, _ := strings.Cut(r.URL.Path[1:], "/")
		switch pattern {
		case "go": // The last program of the chain.
			one(call, id, 1)
		case "seq":
			one(call, id, 1)
			one(call, id, 2)
		case "pause":
			pause()
			one(call, id, 1)
			pause()
			one(call, id, 2)
			pause()
		case "fan":
			fan(call, id)
		}
		io.WriteString(w, "ok")
	}
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], http.HandlerFunc(handle)))
}
