// The shape of the original demo's client: a goroutine, a net.Conn and a 32 KiB buffer for each connection.
// "churn" opens, pings once and closes; "hold" pings once a second. Every byte is compared.
package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const size = 16

func cpuSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		log.Fatal(err)
	}
	return float64(usage.Utime.Sec+usage.Stime.Sec) + float64(usage.Utime.Usec+usage.Stime.Usec)/1e6
}

func ping(conn net.Conn, buffer []byte, number, sequence uint64) {
	message := make([]byte, size)
	binary.BigEndian.PutUint64(message, number)
	binary.BigEndian.PutUint64(message[8:], sequence)
	if _, err := conn.Write(message); err != nil {
		log.Fatal(err)
	}
	if _, err := io.ReadFull(conn, buffer[:size]); err != nil {
		log.Fatal(err)
	}
	if !bytes.Equal(buffer[:size], message) {
		log.Fatal("wrong answer")
	}
}

func dial(address string) net.Conn {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	return conn
}

func main() {
	if len(os.Args) != 5 {
		log.Fatal("usage: client churn|hold ADDRESS CONNECTIONS SECONDS")
	}
	address := os.Args[2]
	connections, _ := strconv.Atoi(os.Args[3])
	seconds, _ := strconv.ParseFloat(os.Args[4], 64)
	until := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	var done atomic.Uint64
	var all sync.WaitGroup
	begin := cpuSeconds()
	for i := 0; i < connections; i++ {
		all.Add(1)
		go func(number uint64) {
			defer all.Done()
			buffer := make([]byte, 32<<10)
			for sequence := uint64(0); os.Args[1] == "churn" && time.Now().Before(until); sequence++ {
				conn := dial(address)
				ping(conn, buffer, number, sequence)
				conn.Close()
				done.Add(1)
			}
			if os.Args[1] == "hold" {
				conn := dial(address)
				defer conn.Close()
				for sequence := uint64(0); time.Now().Before(until); sequence++ {
					ping(conn, buffer, number, sequence)
					done.Add(1)
					time.Sleep(time.Second)
				}
			}
		}(uint64(i))
	}
	all.Wait()
	fmt.Printf("{\"cpu\": %f, \"done\": %d}\n", cpuSeconds()-begin, done.Load())
}
