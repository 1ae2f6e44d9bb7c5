// HTTPS by Go's net/http, on either side.
//
//	tls serve CERT KEY PORT                 answers everything with "inside"
//	tls get URL COUNT LANES [GATE]          gets URL/item-N, LANES at once; with a gate each lane first gets /before,
//	                                        writes GATE/open and waits for GATE/go
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

func main() {
	if os.Args[1] == "serve" {
		serve(os.Args[2], os.Args[3], os.Args[4])
	} else {
		get(os.Args[2:])
	}
}

func serve(certificate, key, port string) {
	inside := func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "inside")
	}
	log.Fatal(http.ListenAndServeTLS("127.0.0.1:"+port, certificate, key, http.HandlerFunc(inside)))
}

func get(arguments []string) {
	url := arguments[0]
	count, _ := strconv.Atoi(arguments[1])
	lanes, _ := strconv.Atoi(arguments[2])
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: true},
		ForceAttemptHTTP2:   os.Getenv("HTTP2") != "",
		MaxIdleConnsPerHost: lanes,
	}}
	ask := func(path string) {
		response, err := client.Get(url + path)
		if err != nil {
			log.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || string(body) != "inside" {
			log.Fatal(path, string(body), err)
		}
	}
	each := func(work func(lane int)) {
		var all sync.WaitGroup
		for lane := 0; lane < lanes; lane++ {
			all.Add(1)
			go func(lane int) {
				defer all.Done()
				work(lane)
			}(lane)
		}
		all.Wait()
	}
	if len(arguments) > 3 {
		gate := arguments[3]
		each(func(int) { ask("/before") })
		os.WriteFile(gate+"/open", nil, 0o644)
		for {
			if _, err := os.Stat(gate + "/go"); err == nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	if start := os.Getenv("START"); start != "" {
		fmt.Println("waiting")
		for {
			if _, err := os.Stat(start); err == nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	// Larger programs have not begun by then.
	time.Sleep(time.Second)
	each(func(lane int) {
		for number := lane; number < count; number += lanes {
			ask(fmt.Sprintf("/item-%d", number))
		}
	})
}
